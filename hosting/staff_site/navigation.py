"""The menu of the staff pages: what somebody may open, by what it is about."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext_lazy as _

# By the names of models; what stands nowhere comes last.
_GROUPS: tuple[tuple[Any, tuple[str, ...]], ...] = (
    (
        _("Customers"),
        (
            *("Organisation", "User", "SignedIn", "Group", "FactorLoss", "Restriction", "Visit"),
            *("ApiKey", "Brand", "PanelHost", "ClockAdvance"),
        ),
    ),
    (
        _("Mail"),
        (
            *("Mailbox", "Domain", "AppPassword", "Device", "SignIn", "Alarm", "Hold"),
            *("PendingChange", "PurgeRun", "RestoreRun", "Removal", "QuotaWarning"),
            *("ProtocolSwitch", "RetentionPolicy", "MailboxImport"),
        ),
    ),
    (
        _("Money"),
        (
            *(
                "Dunning",
                "Invoice",
                "MonthClose",
                "HeldOverage",
                "OpenItem",
                "Payment",
                "Refund",
                "LedgerEntry",
                "BankImport",
            ),
            *("BillingProfile", "Plan", "Price", "PriceList", "VatRate", "Contract"),
            *("PlanChange", "ProviderEvent", "Recount", "Drift"),
        ),
    ),
    (
        _("Work"),
        (
            *("BulkRequest", "Event", "EventCheck", "Checkpoint", "Setback", "Notice"),
            *("WebhookEndpoint", "WebhookDelivery"),
        ),
    ),
)


@dataclass(frozen=True, kw_only=True)
class Link:
    """One list, and whether the page belongs to it."""

    name: str
    url: str
    is_here: bool


@dataclass(frozen=True, kw_only=True)
class Group:
    """Lists about one thing; the one that the page belongs to stands open."""

    name: Any
    links: list[Link]

    @property
    def is_here(self) -> bool:
        """Whether the page belongs to one of them."""
        return any(link.is_here for link in self.links)


def groups(apps: Iterable[Mapping[str, Any]], *, path: str) -> list[Group]:
    """The menu, from what Django says that somebody may open."""
    models = {
        model["object_name"]: model
        for app in apps
        for model in app["models"]
        if model["admin_url"] is not None
    }
    found = []
    for name, wanted in _GROUPS:
        links = [_link(models.pop(each), path=path) for each in wanted if each in models]
        found.append(Group(name=name, links=links))
    rest = [_link(model, path=path) for model in models.values()]
    return [group for group in (*found, Group(name=_("More"), links=rest)) if group.links]


def _link(model: Mapping[str, Any], *, path: str) -> Link:
    url = model["admin_url"]
    return Link(name=str(model["name"]), url=url, is_here=path.startswith(url))
