"""Finding customers among thousands: what may be asked, and one page of the answer.

Pages go by the value that is sorted by and the key, so that the last of many costs no more than
the first, and a customer who is opened meanwhile moves nobody.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from django.db.models import Exists, F, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Coalesce, Lower
from django.utils.translation import gettext_lazy as _

from accounts.access import Actor, Capability
from accounts.models import Organisation
from mailstore.models import Domain, Mailbox

PAGE_LENGTH = 50
_HIGHEST = 2**63 - 1
_LONGEST_SEARCH = 254


class Sort(NamedTuple):
    """One order. What the worker has not counted yet stands as nothing."""

    title: Any
    # A column of the figures, or of the customer itself.
    column: str
    is_descending: bool = True
    is_money: bool = False


SORTS: Mapping[str, Sort] = {
    "name": Sort(_("Name"), "name", is_descending=False),
    "newest": Sort(_("Newest first"), "pk"),
    "use": Sort(_("Most use first"), "stored_bytes"),
    "mailboxes": Sort(_("Most mailboxes first"), "mailboxes"),
    "retail": Sort(_("Pays most first"), "retail_minor", is_money=True),
    "cost": Sort(_("Costs most first"), "wholesale_minor", is_money=True),
    "margin": Sort(_("Highest margin first"), "left_minor", is_money=True),
    "least": Sort(_("Lowest margin first"), "left_minor", is_descending=False, is_money=True),
    "active": Sort(_("Last seen first"), "last_login"),
    "quiet": Sort(_("Longest quiet first"), "last_login", is_descending=False),
}
_FIRST_SORT = "name"


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What was asked for. Whatever makes no sense in an address is left out."""

    search: str = ""
    state: str = ""
    # "yes" for those that reached one of their limits.
    limit: str = ""
    # "yes" or "no".
    domain: str = ""
    more_than: int | None = None
    sort: str = _FIRST_SORT

    @classmethod
    def of(cls, asked: Mapping[str, str], *, sees_money: bool) -> Wanted:
        """Read the parameters of an address."""
        # PostgreSQL takes no text with a null character.
        search = asked.get("q", "").replace("\0", "").strip()[:_LONGEST_SEARCH]
        sort = SORTS.get(asked.get("sort", ""))
        is_allowed = sort is not None and (sees_money or not sort.is_money)
        state, domain = asked.get("state", ""), asked.get("domain", "")
        return cls(
            search=search,
            state=state if state in Organisation.State.values else "",
            limit="yes" if asked.get("limit") == "yes" else "",
            domain=domain if domain in {"yes", "no"} else "",
            more_than=_number(asked.get("more", "")),
            sort=asked["sort"] if is_allowed else _FIRST_SORT,
        )

    @property
    def is_anything(self) -> bool:
        """Whether somebody is left out by it."""
        filters = (self.search, self.state, self.limit, self.domain)
        return any(filters) or self.more_than is not None


def customers_of(actor: Actor) -> QuerySet[Organisation]:
    """Those whom the actor's own organisations sell to; staff look after all."""
    customers = Organisation.objects.filter(kind=Organisation.Kind.CUSTOMER)
    if not actor.is_staff:
        customers = customers.filter(parent__in=sellers_of(actor))
    return customers


def sellers_of(actor: Actor) -> frozenset[int]:
    """The actor's organisations that have customers."""
    return actor.seller_ids & actor.organisation_ids


def sees_money(actor: Actor) -> bool:
    """Whether costs and margins of any customer are shown."""
    seeing = actor.only_with(Capability.SEE_BILLS)
    return seeing.is_staff or bool(sellers_of(seeing))


def found(actor: Actor, wanted: Wanted) -> QuerySet[Organisation]:
    """All that match, in the order that was asked for, with what a list shows of each."""
    customers = _filtered(customers_of(actor), wanted)
    sort = SORTS[wanted.sort]
    customers = customers.annotate(place=_place(sort))
    first = Domain.objects.filter(organisation=OuterRef("pk")).order_by("pk").values("name")
    shown = customers.annotate(first_domain=Subquery(first[:1]))
    place = F("place").desc() if sort.is_descending else F("place").asc()
    key = F("pk").desc() if sort.is_descending else F("pk").asc()
    return shown.select_related("figures", "parent").order_by(place, key)


def page(
    customers: QuerySet[Organisation], wanted: Wanted, *, after: str
) -> tuple[list[Organisation], str]:
    """One page after that place, and the place to go on from, if any."""
    sort = SORTS[wanted.sort]
    place = _read(after, is_text=sort.column == "name")
    if place is not None:
        value, key = place
        way = "lt" if sort.is_descending else "gt"
        beyond = Q(**{f"place__{way}": value}) | Q(**{"place": value, f"pk__{way}": key})
        customers = customers.filter(beyond)
    rows = list(customers[: PAGE_LENGTH + 1])
    if len(rows) <= PAGE_LENGTH:
        return rows, ""
    last = rows[PAGE_LENGTH - 1]
    return rows[:PAGE_LENGTH], f"{last.pk}:{last.place}"  # type: ignore[attr-defined]


def _place(sort: Sort) -> Any:
    if sort.column == "name":
        return Lower("name")
    return F("pk") if sort.column == "pk" else Coalesce(f"figures__{sort.column}", 0)


def _filtered(customers: QuerySet[Organisation], wanted: Wanted) -> QuerySet[Organisation]:
    owned = Domain.objects.filter(organisation=OuterRef("pk"))
    if wanted.search:
        customers = customers.filter(_matching(wanted.search))
    if wanted.state:
        customers = customers.filter(state=wanted.state)
    if wanted.limit:
        customers = customers.filter(figures__is_at_limit=True)
    if wanted.domain:
        customers = customers.filter(Exists(owned) if wanted.domain == "yes" else ~Exists(owned))
    if wanted.more_than is not None:
        customers = customers.filter(figures__mailboxes__gt=wanted.more_than)
    return customers


def _matching(search: str) -> Q:
    """By name, reference, domain or address; one with an @ can only be an address."""
    lower = search.lower()
    boxes = Mailbox.objects.filter(organisation=OuterRef("pk"), address__contains=lower)
    by_address = Q(Exists(boxes.exclude(state=Mailbox.State.CLOSED)))
    if "@" in search:
        return by_address
    domains = Domain.objects.filter(organisation=OuterRef("pk"), name__contains=lower)
    by_name = Q(name__icontains=search) | Q(external_ref__iexact=search)
    return by_name | Q(Exists(domains)) | by_address


def _number(text: str) -> int | None:
    return int(text) if text.isdecimal() and len(text) <= len("9999999") else None


def _read(after: str, *, is_text: bool) -> tuple[str | int, int] | None:
    """A place as an address names it; None for what is none."""
    key, _colon, value = after.replace("\0", "").partition(":")
    if not _is_whole(key):
        return None
    if is_text:
        return value, int(key)
    return (int(value), int(key)) if _is_whole(value.removeprefix("-")) else None


def _is_whole(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) < len(str(_HIGHEST))
