"""The staff's pages with a million mailboxes behind them, beside the same with ten thousand.

With BENCH_PICTURES set to a folder, the start page is also looked at in a browser at both sizes.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator, Mapping
from itertools import product
from pathlib import Path
from statistics import median
from typing import Any

from django.conf import settings
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from bench import many
from bench.report import Row
from mailstore.models import Mailbox

SIZES = (10_000, 1_000_000)
# As many as a page of the staff may ask for: `tests/hosting/test_staff_lists.py`.
MOST_STATEMENTS = 15
# How much longer a page may take behind a hundred times as many mailboxes.
FLAT = 1.5
_CALLS = 15
_PAGES = {
    "start page": "/staff/",
    "mailboxes": "/staff/mailstore/mailbox/",
    "mailboxes, in the middle": "/staff/mailstore/mailbox/?after={middle}",
    "mailboxes by address": "/staff/mailstore/mailbox/?q=mailbox99",
    "organisations": "/staff/accounts/organisation/",
    "search everywhere": "/staff/search/?q=mailbox99",
}
_WIDTHS, _SCHEMES = (390, 1280), ("light", "dark")


def measure() -> list[Row]:
    # How fast it is, not how often one may ask, is the question.
    settings.RATE_LIMIT_PAGES_PER_MINUTE = 10**9
    model = many.template()
    client = _operator()
    taken: dict[int, Mapping[str, tuple[float, int]]] = {}
    standing = 0
    for size in SIZES:
        many.multiply(model, first=standing, end=size)
        standing = size
        _trouble()
        taken[size] = {name: _taken(client, path) for name, path in _paths().items()}
        _look(client, size)
    return list(_rows(taken))


def _trouble() -> None:
    """One mailbox of a hundred is full, and as many domains wait to be confirmed."""
    with connection.cursor() as cursor:
        cursor.execute("UPDATE mailstore_mailbox SET full_since = now() WHERE id % 100 = 7")
        cursor.execute("UPDATE mailstore_domain SET state = 'waiting' WHERE id % 100 = 7")
        cursor.execute("VACUUM ANALYZE mailstore_mailbox, mailstore_domain")


def _operator() -> Client:
    from accounts.models import User  # noqa: PLC0415  # They read the settings.
    from tests.staffing import verified  # noqa: PLC0415

    return verified(User.objects.get(email="sam@example.test"), Client(SERVER_NAME="localhost"))


def _paths() -> dict[str, str]:
    middle = Mailbox.objects.order_by("pk")[Mailbox.objects.count() // 2].pk
    return {name: path.format(middle=middle) for name, path in _PAGES.items()}


def _taken(client: Client, path: str) -> tuple[float, int]:
    """Milliseconds and statements of one page."""
    _get(client, path)
    with CaptureQueriesContext(connection) as captured:
        _get(client, path)
    statements = len(captured)
    times = []
    for _call in range(_CALLS):
        begin = time.perf_counter()
        _get(client, path)
        times.append((time.perf_counter() - begin) * 1000)
    return median(times), statements


def _get(client: Client, path: str) -> Any:
    response = client.get(path)
    if response.status_code != 200:
        message = f"{path} answered {response.status_code}"
        raise RuntimeError(message)
    return response


def _rows(taken: Mapping[int, Mapping[str, tuple[float, int]]]) -> Iterator[Row]:
    small, large = SIZES
    common = {"bench": "staff", "is_ceiling": True}
    for name, (milliseconds, statements) in taken[large].items():
        yield Row(
            name=f"{name}, of {large:,} mailboxes beside {small:,}",
            value=milliseconds,
            unit="ms",
            reference=taken[small][name][0],
            aim=FLAT,
            **common,
        )
        yield Row(
            name=f"{name}, statements",
            value=statements,
            unit="",
            reference=MOST_STATEMENTS,
            aim=1.0,
            **common,
        )


def _look(client: Client, size: int) -> None:
    """Pictures of the start page as a browser shows it."""
    folder, program = os.environ.get("BENCH_PICTURES"), shutil.which("chromium")
    if not folder or not program:
        return
    from playwright.sync_api import sync_playwright  # noqa: PLC0415  # Only tests have it.

    from tests.live.panel import Panel  # noqa: PLC0415

    Path(folder).mkdir(parents=True, exist_ok=True)
    panel = Panel()
    panel.start()
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
            context = browser.new_context(base_url=panel.url)
            name, cookie = settings.SESSION_COOKIE_NAME, client.cookies
            context.add_cookies([{"name": name, "value": cookie[name].value, "url": panel.url}])
            page = context.new_page()
            page.goto("/staff/")
            for width, scheme in product(_WIDTHS, _SCHEMES):
                page.set_viewport_size({"width": width, "height": 900})
                page.emulate_media(color_scheme=scheme)
                picture = Path(folder) / f"staff-start-{size}-{width}-{scheme}.png"
                page.screenshot(path=picture, full_page=True, animations="disabled")
            browser.close()
    finally:
        panel.stop()
