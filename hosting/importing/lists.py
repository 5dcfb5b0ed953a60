"""Reading a list of mailboxes, and saying of every line whether it could be opened."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, cast

from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import CharField
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.access import Actor, Forbidden
from accounts.models import Organisation
from hosting import limits, ordering, selling
from hosting.importing import collecting
from hosting.models import Plan
from hosting.models.plans import GIGABYTE
from hosting.piecework import BATCH, Problem, UnreadableList, without_nul
from mailstore import addresses, provisioning
from mailstore.models import AppPassword, Domain, Mailbox

COLUMNS = ("address", "plan", "label", "quota_bytes", "app_password")
NEEDED_COLUMNS = ("address", "plan")
# Far beyond any plan, and far below what the column holds.
HIGHEST_QUOTA_BYTES = 100_000 * GIGABYTE
# So much of what somebody wrote is repeated in a message.
_LONGEST_QUOTE = 60


@dataclass(frozen=True, kw_only=True, slots=True)
class Record:
    """One line of the list, as it was written; `fault` says why it cannot even be judged."""

    line: int
    cells: dict[str, str]
    fault: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One mailbox that could be opened; `device` names the app password to make, if any."""

    line: int
    domain: Domain
    local_part: str
    plan: Plan
    label: str
    quota_bytes: int
    device: str
    external_ref: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)

    @property
    def address(self) -> str:
        """The canonical address."""
        return f"{self.local_part}@{self.domain.name}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Beyond:
    """One mailbox for which a limit leaves no room, or whose plan cannot be bought."""

    row: Row
    refusal: Exception

    @property
    def problem(self) -> Problem:
        """The same as people are told."""
        is_limit = isinstance(self.refusal, limits.LimitReached)
        return Problem(
            line=self.row.line,
            column="address" if is_limit else "plan",
            message=str(self.refusal),
            code="limit-reached" if is_limit else "wrong-state",
        )


@dataclass(kw_only=True)
class Checked:
    """What could be opened, and what stands in the way of the rest."""

    rows: list[Row] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


class _Refused(Exception):
    def __init__(self, message: str, *, column: str, code: str = "invalid") -> None:
        super().__init__(message)
        self.column = column
        self.message = message
        self.code = code


def decode(content: bytes) -> str:
    """The text of a file; raise `UnreadableList` if it is not UTF-8, or no text at all."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        message = _("This is not UTF-8. Save the list as “CSV UTF-8”.")
        raise UnreadableList(line=line, message=message) from error
    return without_nul(text)


def read(
    text: str, *, columns: Sequence[str] = COLUMNS, needed: Sequence[str] = NEEDED_COLUMNS
) -> list[Record]:
    """The lines of a list, unjudged; raise `UnreadableList` where its form is wrong.

    The header names some of the `columns` in any order, and all that are `needed`. Cells are
    divided by commas, or by semicolons as some spreadsheets write them; empty lines are passed
    over.
    """
    if not text.strip():
        raise UnreadableList(message=_("The list is empty."))
    first_line = io.StringIO(text).readline()
    delimiter = ";" if ";" in first_line and "," not in first_line else ","
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        header = _header(next(reader, []), columns=columns, needed=needed)
        records = list(_records(reader, header))
    except csv.Error as error:
        message = _("The list cannot be read from here on: %(error)s.") % {"error": error}
        raise UnreadableList(line=reader.line_num, message=message) from error
    if not records:
        raise UnreadableList(message=_("There is no line below the first one."))
    return records


def _header(cells: list[str], *, columns: Sequence[str], needed: Sequence[str]) -> list[str]:
    header = [cell.strip().lower() for cell in cells]
    known = ", ".join(columns)
    for name in header:
        if name not in columns:
            message = _("There is no column “%(name)s”. The columns are: %(known)s.")
            values = {"name": _quotable(name), "known": known}
            raise UnreadableList(column=_quotable(name), message=message % values)
        if header.count(name) > 1:
            raise UnreadableList(column=name, message=_("This column stands twice."))
    for name in needed:
        if name not in header:
            message = _("The first line names the columns, and “%(name)s” is missing.")
            raise UnreadableList(column=name, message=message % {"name": name})
    return header


def _records(reader: Any, header: list[str]) -> Iterator[Record]:
    start = reader.line_num + 1
    for cells in reader:
        if len(cells) == len(header):
            yield Record(line=start, cells=dict(zip(header, cells, strict=True)))
        elif cells:
            message = _("This line has %(found)s cells, the first line has %(wanted)s.")
            fault = message % {"found": len(cells), "wanted": len(header)}
            yield Record(line=start, cells={}, fault=fault)
        start = reader.line_num + 1


def asks_for_app_passwords(records: Iterable[Record]) -> bool:
    """Whether opening these makes secrets that somebody has to be given."""
    return any(record.cells.get("app_password") for record in records)


class Examiner:
    """Judges records in pieces; what it has seen before counts as taken."""

    def __init__(self, *, actor: Actor, organisation: Organisation | None = None) -> None:
        self._actor = actor
        self._organisation = organisation
        self._plans = {plan.slug: plan for plan in Plan.objects.on_sale()}
        self._lines: dict[str, int] = {}

    def examine(self, records: list[Record]) -> Checked:
        """The verdict on at most `BATCH` records, in two queries."""
        checked = Checked()
        split = [(record, *_split(record)) for record in records]
        domains = self._domains({host for _record, _name, host in split if host})
        for record, name, host in split:
            try:
                checked.rows.append(self._row(record, name, host, domains))
            except _Refused as refusal:
                problem = Problem(
                    line=record.line,
                    column=refusal.column,
                    message=refusal.message,
                    code=refusal.code,
                )
                checked.problems.append(problem)
        self._drop_taken(checked)
        return checked

    def _domains(self, names: set[str]) -> dict[str, Domain]:
        found = Domain.objects.visible_to(self._actor).filter(name__in=names)
        return {domain.name: domain for domain in found.select_related("organisation__parent")}

    def _row(self, record: Record, name: str, host: str, domains: dict[str, Domain]) -> Row:
        cells = record.cells
        if record.fault:
            raise _Refused(record.fault, column="")
        domain, local_part = self._place(cells["address"], name, host, domains)
        plan = self._plan(cells["plan"])
        row = Row(
            line=record.line,
            domain=domain,
            local_part=local_part,
            plan=plan,
            label=_text(cells, "label", longest=_longest(Mailbox, "label")),
            quota_bytes=self._quota(cells.get("quota_bytes", ""), plan),
            device=_text(cells, "app_password", longest=_longest(AppPassword, "label")),
        )
        first = self._lines.setdefault(row.address, record.line)
        if first != record.line:
            message = _("This address stands on line %(line)s already.")
            raise _Refused(message % {"line": first}, column="address", code="already-exists")
        return row

    def _place(
        self, address: str, name: str, host: str, domains: dict[str, Domain]
    ) -> tuple[Domain, str]:
        try:
            if not host:
                # It could not be split; the grammar says why.
                addresses.split(address)
            domain = domains.get(host)
            if domain is None:
                message = _("There is no domain %(domain)s here. Add it first.")
                message %= {"domain": addresses.shown(host)}
                raise _Refused(message, column="address", code="not-found")
            if not self._may_hold(domain):
                message = _("%(domain)s does not belong to %(organisation)s.")
                values = {"domain": domain, "organisation": self._organisation}
                raise _Refused(message % values, column="address", code="not-found")
            return domain, provisioning.check(actor=self._actor, domain=domain, local_part=name)
        except ValidationError as refusal:
            raise _Refused(" ".join(refusal.messages), column="address") from refusal
        except provisioning.NoNewMailboxes as refusal:
            raise _Refused(str(refusal), column="address", code="wrong-state") from refusal
        except Forbidden as refusal:
            raise _Refused(str(refusal), column="address", code="forbidden") from refusal

    def _may_hold(self, domain: Domain) -> bool:
        """Whether the domain is of the organisation that the list is for, or of one below it."""
        wanted = self._organisation
        return wanted is None or wanted.pk in domain.organisation.lineage

    def _plan(self, slug: str) -> Plan:
        plan = self._plans.get(slug)
        if plan is None:
            message = _("There is no plan “%(slug)s”. The plans are: %(known)s.")
            values = {"slug": _quotable(slug), "known": ", ".join(self._plans)}
            raise _Refused(message % values, column="plan", code="not-found")
        return plan

    def _quota(self, text: str, plan: Plan) -> int:
        if not text:
            return plan.quota_bytes
        if not (text.isascii() and text.isdigit() and text.strip("0")):
            raise _Refused(_("Write a whole number of bytes, at least 1."), column="quota_bytes")
        # Python refuses to read numbers of thousands of digits.
        quota_bytes = int(text.lstrip("0")[:30])
        if quota_bytes > HIGHEST_QUOTA_BYTES:
            raise _Refused(_("No mailbox can have so much."), column="quota_bytes")
        try:
            ordering.check_limit(actor=self._actor, plan=plan, quota_bytes=quota_bytes)
        except ordering.LimitAbovePlan as refusal:
            code = "quota-over-plan"
            raise _Refused(str(refusal), column="quota_bytes", code=code) from refusal
        return quota_bytes

    def _drop_taken(self, checked: Checked) -> None:
        standing = Mailbox.objects.standing().filter(address__in=[r.address for r in checked.rows])
        taken = set(standing.values_list("address", flat=True))
        for row in checked.rows:
            if row.address in taken:
                checked.problems.append(taken_problem(row))
        checked.rows = [row for row in checked.rows if row.address not in taken]
        checked.problems.sort(key=lambda problem: problem.line)


def taken_problem(row: Row) -> Problem:
    """Another mailbox has this address."""
    message = f"{row.address} is taken."
    return Problem(line=row.line, column="address", message=message, code="address-taken")


def check(*, text: str, actor: Actor, organisation: Organisation | None = None) -> Checked:
    """The verdict on every line; a list that cannot be read at all is one problem."""
    try:
        records = read(text)
    except UnreadableList as refusal:
        return Checked(problems=[refusal.problem])
    return check_records(records, actor=actor, organisation=organisation)


def check_records(
    records: list[Record], *, actor: Actor, organisation: Organisation | None = None
) -> Checked:
    """The verdict on lines that were read before."""
    examiner = Examiner(actor=actor, organisation=organisation)
    whole = Checked()
    for start in range(0, len(records), BATCH):
        with collecting.paused():
            part = examiner.examine(records[start : start + BATCH])
        whole.rows += part.rows
        whole.problems += part.problems
    with transaction.atomic():
        whole.rows, beyond = fit(whole.rows, at=timezone.now())
    whole.problems += [each.problem for each in beyond]
    whole.problems.sort(key=lambda problem: problem.line)
    return whole


def fit(rows: Sequence[Row], *, at: datetime) -> tuple[list[Row], list[Beyond]]:
    """Those that their owners can buy and have room for, and why not the others.

    The limits are locked until the transaction ends.
    """
    owners = {row.domain.organisation for row in rows}
    shelf = selling.Shelf(owners, plans={row.plan for row in rows}, at=at)
    rooms = limits.lock(owners, at=at)
    fitting: list[Row] = []
    beyond: list[Beyond] = []
    for row in rows:
        try:
            shelf.check(row.domain.organisation, row.plan)
            rooms.take(row.domain.organisation, limits.Wanted(mailboxes=1, plan=row.plan))
        except (limits.LimitReached, *selling.REFUSALS) as refusal:
            beyond.append(Beyond(row=row, refusal=refusal))
        else:
            fitting.append(row)
    return fitting, beyond


def _split(record: Record) -> tuple[str, str]:
    """The local part as written and the canonical domain, or two empty texts."""
    try:
        _name, host = addresses.split(record.cells.get("address", ""))
    except addresses.InvalidAddress:
        return "", ""
    return record.cells["address"].rpartition("@")[0], host


def _text(cells: dict[str, str], column: str, *, longest: int) -> str:
    text = cells.get(column, "")
    if len(text) > longest:
        message = _("At most %(longest)s characters can stand here.")
        raise _Refused(message % {"longest": longest}, column=column)
    if not text.isprintable():
        raise _Refused(_("This has characters that cannot be shown."), column=column)
    return text


def _quotable(text: str) -> str:
    """What can be repeated in a message, also on a terminal."""
    shown = "".join(c if c.isprintable() else "\ufffd" for c in text[:_LONGEST_QUOTE])
    return shown if len(text) <= _LONGEST_QUOTE else f"{shown}…"


def _longest(model: type[Mailbox | AppPassword], name: str) -> int:
    column = model._meta.get_field(name)  # noqa: SLF001  # Django's documented way
    return cast("CharField[str, str]", column).max_length or 0
