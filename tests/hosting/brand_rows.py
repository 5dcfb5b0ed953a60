"""A reseller's brand and its own host name, as they are once both hold."""

from __future__ import annotations

from hosting import panel_hosts
from hosting.models import Brand, PanelHost
from mailstore.resolver import resolver
from tests.factories import AT

HOST = "panel.rowan.test"
SUPPORT = "help@rowan.test"


def make_brand(organisation, **fields):
    given = {
        "product_name": "Rowan Post",
        "accent": "#7a1f4b",
        "support_email": SUPPORT,
        "support_url": "https://rowan.test/help",
    }
    return Brand.objects.create(organisation=organisation, **(given | fields))


def make_host(organisation, name=HOST, **fields):
    given = {"state": "verified", "verified_at": AT, "claimed_at": AT, "due_at": AT}
    host = PanelHost.objects.create(organisation=organisation, name=name, **(given | fields))
    panel_hosts.forget()
    return host


def publish(host, *, kind="CNAME", proof=None):
    """The two records that the page asks for."""
    records = resolver().records
    records[host.proof_name, "TXT"] = [proof or host.proof_text]
    records.pop((host.name, "CNAME"), None)
    if kind == "CNAME":
        records[host.name, "CNAME"] = [panel_hosts.house_name()]
