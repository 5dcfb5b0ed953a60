"""A reseller dresses the panel in its own name, and its customer finds it at its own address."""

from __future__ import annotations

import io

import pytest
from django.utils import timezone
from PIL import Image, ImageDraw
from playwright.sync_api import expect

from hosting import panel_hosts
from hosting.models import PanelHost
from mailstore.resolver.memory import MemoryResolver
from tests.factories import PASSWORD, make_mailbox
from tests.hosting.billing_rows import make_profile

pytestmark = pytest.mark.django_db(transaction=True, databases="__all__")

# Chromium leads every name below localhost to this machine.
HOST = "panel.rowan.localhost"
HOUSE = "Restante"


def logo():
    """A name in writing, dark on nothing, as most logos are."""
    file = io.BytesIO()
    image = Image.new("RGBA", (420, 96), (0, 0, 0, 0))
    draw = ImageDraw.Draw(image)
    draw.ellipse((4, 8, 84, 88), fill="#7a1f4b")
    draw.text((100, 22), "Rowan Post", fill="#2b0b1b", font_size=52)
    image.save(file, "PNG")
    return {"name": "logo.png", "mimeType": "image/png", "buffer": file.getvalue()}


@pytest.fixture(autouse=True)
def _house(settings, live_server):
    settings.PANEL_URL = live_server.url
    settings.ALLOWED_HOSTS = ["localhost", "127.0.0.1"]
    panel_hosts.forget()
    yield
    panel_hosts.forget()


def publish(host):
    """The reseller makes the two records, and a worker looks."""
    dns = MemoryResolver()
    dns.records[host.proof_name, "TXT"] = [host.proof_text]
    dns.records[host.name, "CNAME"] = [panel_hosts.house_name()]
    PanelHost.objects.update(due_at=timezone.now())
    panel_hosts.check_due(resolver=dns, at=timezone.now())


def test_reseller_gets_a_look_and_a_host_name_of_its_own(page, cast, sign_in, look, live_server):
    make_profile(cast.reseller)
    make_mailbox(cast.domain)
    sign_in(cast.rita)
    page.goto(f"/billing/profile/{cast.reseller.uuid}/")
    page.get_by_role("link", name="Set it up").click()
    expect(page.get_by_role("heading", name="Your look")).to_be_visible()

    page.get_by_label("Product name").fill("Rowan Post")
    page.get_by_label("Colour", exact=True).fill("#f5c400")
    page.get_by_label("Support address").fill("help@rowan.test")
    page.get_by_label("Support page").fill("https://rowan.test/help")
    page.get_by_label("Logo").set_input_files(logo())
    page.get_by_role("button", name="Show me a preview").click()
    expect(page.get_by_text("The nearest that can be read is #866b00.")).to_be_visible()
    look("look-refused")

    page.get_by_label("Colour", exact=True).fill("#7a1f4b")
    page.get_by_label("Logo").set_input_files(logo())
    page.get_by_role("button", name="Show me a preview").click()
    expect(page.get_by_role("heading", name="A preview, for you alone")).to_be_visible()
    expect(page.get_by_text(HOUSE)).to_have_count(0)
    look("look-preview")

    page.get_by_role("button", name="Show it to my customers").click()
    expect(page.get_by_text("Your customers see it from now on.")).to_be_visible()
    page.get_by_role("textbox", name="Host name").fill(HOST)
    page.get_by_role("button", name="Take this name").click()
    expect(page.get_by_text(f"_panel-proof.{HOST}")).to_be_visible()
    look("look-host-waits")

    publish(PanelHost.objects.get())
    page.reload()
    expect(page.get_by_text("Your customers sign in at")).to_be_visible()
    look("look-host-works")
    page.get_by_role("button", name="Sign out").click()

    own = live_server.url.replace("localhost", HOST)
    page.goto(f"{own}/")
    expect(page).to_have_title("POP or IMAP · Rowan Post")
    look("own-first-page")
    page.get_by_role("link", name="Sign in", exact=True).click()
    look("own-sign-in")
    page.get_by_label("E-mail address").fill(cast.charlie.email)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_text("Please enter a correct")).to_be_visible()
    page.get_by_label("E-mail address").fill(cast.alice.email)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(f"{own}/overview/")
    expect(page.get_by_text("hello@alder.test").first).to_be_visible()
    expect(page.get_by_text(HOUSE)).to_have_count(0)
    look("own-overview")
