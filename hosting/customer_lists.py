"""Lists of customers as CSV: written out as they are, and brought in to open many at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal

from django.db import transaction
from django.db.models import QuerySet
from django.utils.translation import gettext as _

from accounts.access import Actor, Forbidden
from accounts.models import ApiKey, Organisation, User
from accounts.staff import csv_line
from hosting import money, opening, piecework, reselling
from hosting.importing import lists
from hosting.importing.lists import Record
from hosting.models import CustomerFigures, CustomerImport, Limits
from hosting.models.imports import made_by
from hosting.opening import Opening
from hosting.piecework import Done, Problem, UnreadableList
from hosting.reselling import RefTaken, Refused
from mailstore import addresses
from mailstore.models import Domain

COLUMNS = (
    "name",
    "external_ref",
    "owner_email",
    "domain",
    "mailboxes",
    "domains",
    "stored_bytes",
)
NEEDED_COLUMNS = ("name",)
WRITTEN_COLUMNS = (
    "id",
    "name",
    "external_ref",
    "seller",
    "state",
    "opened",
    "first_domain",
    "domains",
    "most_domains",
    "mailboxes",
    "most_mailboxes",
    "stored_bytes",
    "most_stored_bytes",
    "last_sign_in",
)
_MONEY_COLUMNS = ("pays", "pays_currency", "costs", "costs_currency", "left")
# What a page can check while somebody waits.
MOST_RECORDS = 5_000
_AT_ONCE = 500
_TAKEN = {
    "name": "There is a customer called %(value)s. Give both a reference of yours if they differ.",
    "external_ref": "A customer with the reference %(value)s is there already.",
    "domain": "%(value)s is in use here already.",
}
_HIGHEST = {"mailboxes": 2**31 - 1, "domains": 2**31 - 1, "stored_bytes": 10**18}


@dataclass(frozen=True, kw_only=True)
class Row:
    """One customer that could be opened."""

    line: int
    opening: Opening


@dataclass(kw_only=True)
class Checked:
    """What could be opened, and what stands in the way of the rest."""

    rows: list[Row] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


# Out ------------------------------------------------------------------------------------


def lines(customers: QuerySet[Organisation], *, sees_money: bool) -> Iterator[str]:
    """The customers that were searched for, line by line, as they were counted last."""
    yield csv_line([*WRITTEN_COLUMNS, *(_MONEY_COLUMNS if sees_money else ())])
    shown = customers.select_related("figures", "parent", "limits")
    for customer in shown.iterator(chunk_size=_AT_ONCE):
        figures = getattr(customer, "figures", None) or CustomerFigures()
        yield csv_line(
            [*_cells(customer, figures), *(_money(figures) if sees_money else ())],
        )


def _cells(customer: Organisation, figures: CustomerFigures) -> Iterator[object]:
    limits = getattr(customer, "limits", None) or Limits()
    yield from (customer.uuid, customer.name, customer.external_ref, customer.parent)
    yield from (customer.state, customer.created_at.date(), customer.first_domain or "")  # type: ignore[attr-defined]
    for name in ("domains", "mailboxes", "stored_bytes"):
        most = getattr(limits, name)
        yield from (getattr(figures, name), "" if most is None else most)
    yield _moment(figures.last_login)


def _money(figures: CustomerFigures) -> Iterator[object]:
    yield from _amount(figures.retail_minor, figures.currency)
    yield from _amount(figures.wholesale_minor, figures.wholesale_currency)
    yield _amount(figures.left_minor, figures.currency)[0]


def _amount(minor: int | None, currency: str) -> tuple[Decimal | str, str]:
    if minor is None or not currency:
        return "", ""
    return money.from_minor(minor, currency=currency), currency


def _moment(unix_seconds: int) -> str:
    if not unix_seconds:
        return ""
    return datetime.fromtimestamp(unix_seconds, tz=UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


# In -------------------------------------------------------------------------------------


def read(text: str) -> list[Record]:
    """The lines of an uploaded list, unjudged; raise `UnreadableList`."""
    records = lists.read(text, columns=COLUMNS, needed=NEEDED_COLUMNS)
    if len(records) > MOST_RECORDS:
        message = _("At most %(most)s lines can be read at once. Bring it in parts.")
        raise UnreadableList(message=message % {"most": MOST_RECORDS})
    return records


def take_in(
    *,
    actor: Actor,
    by: User | ApiKey,
    seller: Organisation,
    file_name: str,
    text: str,
    at: datetime,
) -> CustomerImport:
    """Keep a list until somebody has looked at the preview.

    Raises `UnreadableList`, and `piecework.TooManyLists` where programs leave them all waiting.
    """
    reselling.must_open(actor, seller)
    piecework.refuse_too_many(CustomerImport.objects.all(), by)
    return CustomerImport.objects.create(
        file_name=file_name[-255:],
        content=text,
        row_count=len(read(text)),
        seller=seller,
        created_at=at,
        **made_by(by),
    )


def preview(listed: CustomerImport) -> Checked:
    """What would happen now."""
    try:
        records = read(listed.content)
    except UnreadableList as refusal:
        # The rules for lists have changed since it was uploaded.
        return Checked(problems=[refusal.problem])
    return _Examiner(listed).examine(records)


def confirm(*, actor: Actor, listed: CustomerImport, at: datetime) -> None:
    """Start the work in the background; raises `piecework.WrongState`."""
    piecework.confirm(actor=actor, listed=listed, task="hosting.run_customer_import", at=at)


def cancel(*, actor: Actor, listed: CustomerImport, at: datetime) -> None:
    """Leave the list, or what is left of it; raises `piecework.WrongState`."""
    piecework.cancel(actor=actor, listed=listed, at=at, ended=_tell)


def resume(*, now: Callable[[], datetime]) -> int:
    """Take up every list that waits or whose worker died; returns how many were worked on."""
    ids = piecework.waiting(CustomerImport.objects.all(), at=now())
    return sum(run(import_id=import_id, now=now) for import_id in ids)


def run(*, import_id: int, now: Callable[[], datetime]) -> bool:
    """Work a list off from where it stands; returns whether it was ours to do."""
    found = CustomerImport.objects.select_related("seller__parent")
    return piecework.run(found, import_id=import_id, worker_of=_Opener, now=now, ended=_tell)


def _tell(listed: CustomerImport, actor: Actor, at: datetime) -> None:
    piecework.tell_of_end(listed, organisation=listed.seller, actor=actor, at=at)


class _Opener:
    """Opens the customers of one list."""

    def __init__(self, listed: CustomerImport, actor: Actor) -> None:
        self._listed = listed
        self._actor = actor
        self._seller = Organisation.objects.select_related("parent").get(pk=listed.seller_id)
        self._examiner = _Examiner(listed)

    def records(self) -> list[Record]:
        return read(self._listed.content)

    def do(self, piece: Sequence[Record], *, at: datetime) -> Done:
        checked = self._examiner.examine(piece)
        opened = 0
        for row in checked.rows:
            try:
                with transaction.atomic():
                    opening.open_with(
                        actor=self._actor, reseller=self._seller, opening=row.opening, at=at
                    )
            except (Refused, Forbidden) as refusal:
                checked.problems.append(_problem(row.line, refusal))
            else:
                opened += 1
        return Done(counts={"opened_count": opened}, problems=checked.problems)


def _problem(line: int, refusal: Refused | Forbidden) -> Problem:
    column = getattr(refusal, "field", "")
    code = "forbidden" if isinstance(refusal, Forbidden) else "invalid"
    if isinstance(refusal, (_Known, RefTaken)):
        code = "already-exists"
    return Problem(line=line, column=column, message=str(refusal), code=code)


class _Known(Refused):
    """Most likely the same customer as one that is there, or as one on another line."""


class _Examiner:
    """Judges lines in pieces; what it has seen before counts as taken."""

    def __init__(self, listed: CustomerImport) -> None:
        self._customers = Organisation.objects.filter(
            parent=listed.seller_id, kind=Organisation.Kind.CUSTOMER
        )
        self._is_test = listed.opens_tests
        self._seen: dict[tuple[str, str], int] = {}

    def examine(self, records: Iterable[Record]) -> Checked:
        """The verdict on some lines, in three queries for each five hundred."""
        checked = Checked()
        whole = list(records)
        for start in range(0, len(whole), _AT_ONCE):
            self._examine(whole[start : start + _AT_ONCE], checked)
        return checked

    def _examine(self, piece: Sequence[Record], checked: Checked) -> None:
        taken = self._taken(piece)
        for record in piece:
            try:
                checked.rows.append(self._row(record, taken))
            except Refused as refusal:
                checked.problems.append(_problem(record.line, refusal))

    def _taken(self, piece: Sequence[Record]) -> dict[str, set[str]]:
        """What is there already of what these lines name, by column."""
        asked = {
            name: {record.cells.get(name, "").strip() for record in piece} - {""}
            for name in ("name", "external_ref", "domain")
        }
        hosts = {host for text in asked["domain"] if (host := _host(text))}
        names = self._customers.filter(name__in=asked["name"], is_test=self._is_test)
        refs = self._customers.filter(external_ref__in=asked["external_ref"])
        domains = Domain.objects.filter(name__in=hosts)
        return {
            "name": set(names.values_list("name", flat=True)),
            "external_ref": set(refs.values_list("external_ref", flat=True)),
            "domain": set(domains.values_list("name", flat=True)),
        }

    def _row(self, record: Record, taken: dict[str, set[str]]) -> Row:
        if record.fault:
            raise Refused(record.fault)
        cells = record.cells
        ref = reselling.checked_ref(cells.get("external_ref", ""))
        name = reselling.checked_name(cells["name"])
        email, domain = cells.get("owner_email", "").strip(), cells.get("domain", "").strip()
        if email:
            reselling.checked_email(email)
        self._refuse_twice("external_ref", ref, taken, record)
        if not ref:
            self._refuse_twice("name", name, taken, record)
        if domain:
            self._refuse_twice("domain", _checked_host(domain), taken, record)
        return Row(
            line=record.line,
            opening=Opening(
                name=name,
                external_ref=ref,
                owner_email=email,
                domain=domain,
                mailboxes=_number(cells, "mailboxes"),
                domains=_number(cells, "domains"),
                stored_bytes=_number(cells, "stored_bytes"),
                is_test=self._is_test,
            ),
        )

    def _refuse_twice(
        self, column: str, value: str, taken: dict[str, set[str]], record: Record
    ) -> None:
        """The same reference, or the same name without one, is most likely the same customer."""
        if not value:
            return
        if value in taken[column]:
            raise _Known(_TAKEN[column] % {"value": value}, field=column)
        first = self._seen.setdefault((column, value), record.line)
        if first != record.line:
            message = _("This stands on line %(line)s already.")
            raise _Known(message % {"line": first}, field=column)


def _host(text: str) -> str:
    """The canonical domain, or nothing for what is none."""
    try:
        return addresses.domain(text)
    except addresses.InvalidAddress:
        return ""


def _checked_host(text: str) -> str:
    try:
        return addresses.domain(text)
    except addresses.InvalidAddress as refusal:
        raise Refused(" ".join(refusal.messages), field="domain") from refusal


def _number(cells: dict[str, str], column: str) -> int | None:
    text = cells.get(column, "").strip()
    if not text:
        return None
    digits = text.lstrip("0")[:20] or "0"
    if not (text.isascii() and text.isdecimal()) or int(digits) > _HIGHEST[column]:
        message = _("A limit is a whole number between 0 and %(most)s, or empty.")
        raise Refused(message % {"most": _HIGHEST[column]}, field=column)
    return int(digits)
