"""Opening the mailboxes of a checked list, in pieces."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial

from django.db import IntegrityError, transaction

from accounts import outbox
from accounts.access import Actor
from accounts.models import Event
from hosting import clocks, metering, storing
from hosting.importing import collecting, lists
from hosting.importing.lists import Beyond, Row
from hosting.models import Contract
from hosting.piecework import BATCH, Problem, retried
from mailstore import credentials, provisioning
from mailstore.credentials import Issued
from mailstore.models import Mailbox


@dataclass(frozen=True, kw_only=True)
class Secret:
    """A new app password, for whoever hands it out; it exists nowhere else."""

    address: str
    label: str
    secret: str


@dataclass(kw_only=True)
class Applied:
    """What became of one piece. What is `beyond` a limit is among the problems as well."""

    mailboxes: list[Mailbox] = field(default_factory=list)
    issued: list[Issued] = field(default_factory=list)
    beyond: list[Beyond] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    @property
    def opened_count(self) -> int:
        """How many mailboxes were opened."""
        return len(self.mailboxes)


KeepSecrets = Callable[[list[Secret]], None]


def apply(
    *, rows: list[Row], actor: Actor, at: datetime, keep: KeepSecrets | None = None
) -> Iterator[Applied]:
    """Open the mailboxes piece by piece, each piece at once or not at all.

    `keep` is called with the secrets before the piece is committed: secrets of mailboxes that
    do not exist do no harm, mailboxes whose secrets nobody has would be useless.
    """
    for start in range(0, len(rows), BATCH):
        open_piece = partial(open_rows, actor=actor, at=at, keep=keep)
        yield _opened(rows[start : start + BATCH], open_piece)


def _opened(rows: list[Row], open_piece: Callable[[list[Row]], Applied]) -> Applied:
    try:
        with collecting.paused(), transaction.atomic():
            return open_piece(rows)
    except IntegrityError:
        # An address was taken after the list had been checked.
        return retried(lambda: _open_free(rows, open_piece))


def _open_free(rows: list[Row], open_piece: Callable[[list[Row]], Applied]) -> Applied:
    free, problems = _split_taken(rows)
    applied = open_piece(free)
    applied.problems += problems
    return applied


def open_rows(
    rows: list[Row], *, actor: Actor, at: datetime, keep: KeepSecrets | None = None
) -> Applied:
    """Open at most `BATCH` mailboxes inside the caller's transaction, in a few queries.

    What is beyond a limit is left out, with the reason. Those of a test organisation begin at its
    own moment, with all that is noted of them. Raises `IntegrityError` if an address is taken.
    """
    begins = clocks.moments({row.domain.organisation for row in rows})
    rows, beyond = lists.fit(rows, at=at)
    mailboxes = [_mailbox(row, at=begins.get(row.domain.organisation_id, at)) for row in rows]
    storing.number(mailboxes)
    storing.store(mailboxes)
    marks = _marks(mailboxes)
    opened = list(zip(mailboxes, rows, strict=True))
    storing.store([_contract(mailbox, row, marks) for mailbox, row in opened])
    issued = [_issued(mailbox, row) for mailbox, row in opened if row.device]
    storing.store([each.app_password for each in issued])
    storing.store(list(_events(mailboxes, issued, actor=actor)))
    if issued and keep:
        keep([_secret(each) for each in issued])
    if mailboxes:
        outbox.nudge("mailstore.provision_pending")
    problems = [each.problem for each in beyond]
    return Applied(mailboxes=mailboxes, issued=issued, beyond=beyond, problems=problems)


def _split_taken(rows: list[Row]) -> tuple[list[Row], list[Problem]]:
    standing = Mailbox.objects.standing().filter(address__in=[row.address for row in rows])
    taken = set(standing.values_list("address", flat=True))
    problems = [lists.taken_problem(row) for row in rows if row.address in taken]
    return [row for row in rows if row.address not in taken], problems


def _mailbox(row: Row, *, at: datetime) -> Mailbox:
    mailbox = provisioning.draft(
        domain=row.domain,
        local_part=row.local_part,
        protocol=row.plan.protocol,
        quota_bytes=row.quota_bytes,
        window_days=row.plan.window_days,
        retention_policy_id=row.plan.retention_policy_id,
        label=row.label,
        at=at,
    )
    mailbox.external_ref, mailbox.labels = row.external_ref, dict(row.labels)
    return mailbox


def _marks(mailboxes: list[Mailbox]) -> dict[str, int]:
    """What the meter says of each address at the moment at which its mailbox begins."""
    together: dict[datetime, list[str]] = {}
    for mailbox in mailboxes:
        together.setdefault(mailbox.created_at, []).append(mailbox.address)
    found: dict[str, int] = {}
    for moment, names in together.items():
        found |= metering.marks(names, at=metering.seconds(moment))
    return found


def _contract(mailbox: Mailbox, row: Row, marks: Mapping[str, int]) -> Contract:
    # Keys alone: to hang whole rows on it takes Django several times as long.
    return Contract(
        mailbox_id=mailbox.pk,
        plan_id=row.plan.pk,
        starts_at=mailbox.created_at,
        start_mark=marks.get(row.address, 0),
    )


def _issued(mailbox: Mailbox, row: Row) -> Issued:
    return credentials.draft(
        mailbox=mailbox,
        label=row.device,
        allows_pop=True,
        allows_imap=True,
        at=mailbox.created_at,
    )


def _secret(issued: Issued) -> Secret:
    password = issued.app_password
    return Secret(address=password.mailbox.address, label=password.label, secret=issued.secret)


def _events(mailboxes: list[Mailbox], issued: list[Issued], *, actor: Actor) -> Iterator[Event]:
    for mailbox in mailboxes:
        made_at = mailbox.created_at
        yield outbox.event(**provisioning.created(mailbox=mailbox, actor=actor, at=made_at))
    for each in issued:
        mailbox = each.app_password.mailbox
        yield outbox.event(
            kind="app_password.created",
            at=each.app_password.created_at,
            actor=actor,
            organisation=mailbox.domain.organisation,
            subject=each.app_password.subject,
            data={"mailbox": str(mailbox.uuid), "address": mailbox.address},
        )
