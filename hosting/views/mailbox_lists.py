"""Mailboxes as a list that is searched, sorted and paged: the overview's, and one customer's."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django.db.models import Q, Subquery
from django.http import HttpRequest
from django.utils.translation import gettext_lazy

from hosting import presenting
from mailstore.models import Mailbox
from mailstore.models.mailboxes import MailboxQuerySet

PAGE_LENGTH = 50
_SORTS = (
    ("address", gettext_lazy("Address")),
    ("newest", gettext_lazy("Newest first")),
    # By the highest warning, which is kept beside the mailbox; the use itself may not be.
    ("fullest", gettext_lazy("Fullest first")),
)


def wants_rows(request: HttpRequest) -> bool:
    """Whether the rows alone are asked for, and not by a browser that goes back."""
    return bool(request.htmx) and not request.htmx.history_restore_request  # type: ignore[attr-defined]


def context(request: HttpRequest, standing: MailboxQuerySet, *, url: str) -> dict[str, Any]:
    """One page of what was asked for, of mailboxes that the page at `url` lists."""
    asked = request.GET.dict()
    # PostgreSQL takes no text with a null character.
    search = asked.get("q", "").replace("\0", "").strip().lower()[:254]
    protocol = asked.get("protocol", "")
    sort = asked.get("sort", "") if asked.get("sort") in dict(_SORTS) else _SORTS[0][0]
    after = asked.pop("after", "").replace("\0", "")
    found = _filtered(
        standing.select_related("organisation__parent"), search=search, protocol=protocol
    )
    page, last = _page(found, sort=sort, after=after)
    return {
        "list_url": url,
        "mailboxes": presenting.rows(page),
        "search": search,
        "protocol_filter": protocol,
        "sort": sort,
        "sorts": _SORTS,
        "next_url": "?" + urlencode({**asked, "after": last}) if last else "",
        "first_url": "?" + urlencode(asked),
        "is_first_page": not after,
        "query": request.GET.urlencode(),
    }


def _filtered(found: MailboxQuerySet, *, search: str, protocol: str) -> MailboxQuerySet:
    if search:
        found = found.filter(address__contains=search) | found.filter(label__icontains=search)
    if protocol in Mailbox.Protocol.values:
        found = found.filter(protocol=protocol)
    return found


def _page(found: MailboxQuerySet, *, sort: str, after: str) -> tuple[list[Mailbox], str]:
    """One page after the mailbox of that address, and the address to go on from, if any.

    Pages go by key, so that the last of many costs no more than the first.
    """
    page = list(_following(found, sort=sort, after=after)[: PAGE_LENGTH + 1])
    if len(page) <= PAGE_LENGTH:
        return page, ""
    page.pop()
    return page, page[-1].address


def _following(found: MailboxQuerySet, *, sort: str, after: str) -> MailboxQuerySet:
    last = Mailbox.objects.standing().filter(address=after)
    if sort == "newest":
        ordered = found.order_by("-pk")
        return ordered.filter(pk__lt=Subquery(last.values("pk"))) if after else ordered
    if sort == "fullest":
        ordered = found.order_by("-warned_percent", "address")
        percent = Subquery(last.values("warned_percent"))
        same = Q(warned_percent=percent, address__gt=after)
        return ordered.filter(Q(warned_percent__lt=percent) | same) if after else ordered
    return found.filter(address__gt=after).order_by("address")
