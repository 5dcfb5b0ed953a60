"""A headless Chromium before the real panel, with a real Dovecot behind it."""

from __future__ import annotations

import os
import shutil
import time
from datetime import UTC, datetime
from itertools import product

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.utils import timezone
from playwright.sync_api import expect, sync_playwright

from accounts.models import Authenticator, User
from accounts.second_factor import authenticators, demanding, devices
from tests.factories import PASSWORD
from tests.live.settings import PICTURES
from tests.patience import PATIENCE_SECONDS
from tests.real_mail import cast, live, mail_server, make_program
from tests.staffing import SECRET

__all__ = ["cast", "live", "mail_server", "make_program"]

# Playwright runs an event loop in this thread, which Django takes for asynchronous code.
os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"

# Both wait for what comes true, by default for a few seconds only.
PATIENCE_MILLISECONDS = PATIENCE_SECONDS * 1000
expect.set_options(timeout=PATIENCE_MILLISECONDS)

WIDTHS = (390, 1280)
SCHEMES = ("light", "dark")

# What axe looks at: Django's choice with suggestions is made by select2, whose marks are its own.
JUDGED = {"exclude": [[".select2"]]}
# To preload style sheets, axe would write some into the page, which may not be; and to tell what
# is right as well as what is wrong takes it twice as long.
JUDGING = {"preload": False, "resultTypes": ["violations"]}

# Sentences where nothing may wrap. `text-wrap: pretty` lets them, but not every browser knows it:
# elsewhere they run out of the page.
UNBROKEN = """
    [...document.querySelectorAll("h1, h2, h3, p")]
        .filter((each) => each.checkVisibility())
        .filter((each) => getComputedStyle(each.parentElement).whiteSpace === "nowrap")
        .map((each) => each.textContent.trim())
"""


@pytest.fixture(scope="session")
def chromium():
    program = shutil.which("chromium")
    assert program, "chromium is missing: install Debian's package chromium"
    arguments = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=program, args=arguments, timeout=PATIENCE_MILLISECONDS
        )
        yield browser
        browser.close()


@pytest.fixture
def page(chromium, live_server):
    context = chromium.new_context(
        base_url=live_server.url, viewport={"width": 1280, "height": 900}
    )
    context.set_default_timeout(PATIENCE_MILLISECONDS)
    page = context.new_page()
    problems = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on(
        "console",
        lambda message: problems.append(message.text) if message.type == "error" else None,
    )
    yield page
    context.close()
    assert problems == []


@pytest.fixture
def sign_in(page):
    def sign_in(user):
        """Staff and sellers have an authenticator app already."""
        has_app = demanding.standing(user, at=timezone.now()).must
        if has_app and not devices.has_any(user):
            authenticators.give(user, secret=SECRET)
        page.goto("/account/sign-in")
        page.get_by_label("E-mail address").fill(user.email)
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Sign in", exact=True).click()
        if has_app:
            page.get_by_label("Code").fill(fresh_code(user))
            page.get_by_role("button", name="Go on").click()
        page.wait_for_url("**/overview/")

    return sign_in


def fresh_code(user):
    """One that was not used yet, however many were within the last half minute."""
    device = Authenticator.objects.filter(user=user, confirmed=True).first()
    step = int(time.time()) // authenticators.STEP_SECONDS
    if device.last_step > step:
        time.sleep(authenticators.STEP_SECONDS)
    step = max(step, device.last_step + 1)
    at = datetime.fromtimestamp(step * authenticators.STEP_SECONDS, UTC)
    return authenticators.code_at(SECRET, at=at)


@pytest.fixture
def staff_page(page, cast, sign_in):
    """Sam's browser, past the second factor."""
    User.objects.filter(pk=cast.sam.pk).update(is_superuser=True)
    sign_in(cast.sam)
    page.goto("/staff/")
    page.wait_for_url("**/staff/")
    return page


@pytest.fixture
def look(page):
    """Check a page as everybody sees it: narrow and wide, light and dark, with axe."""

    def look(name):
        PICTURES.mkdir(parents=True, exist_ok=True)
        for width, scheme in product(WIDTHS, SCHEMES):
            page.set_viewport_size({"width": width, "height": 900})
            page.emulate_media(color_scheme=scheme)
            picture = PICTURES / f"{name}-{width}-{scheme}.png"
            page.screenshot(path=picture, full_page=True, animations="disabled")
            found = Axe().run(page, context=JUDGED, options=JUDGING)
            assert found.violations_count == 0, found.generate_report()
            wide = page.evaluate("document.documentElement.scrollWidth")
            assert wide <= width, f"{name} scrolls sideways at {width}"
            assert page.evaluate(UNBROKEN) == [], f"{name} has lines that only Chromium breaks"
        page.set_viewport_size({"width": 1280, "height": 900})
        page.emulate_media(color_scheme="light")

    return look
