"""Whether an organisation's mailboxes are opened by app passwords alone: new ones, and all at once.

Each mailbox keeps its own answer (`credentials.require_app_passwords`). What an organisation says
is what a new one begins with, by whichever door it is ordered.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Max, QuerySet

from accounts import membership, outbox
from accounts.access import Actor, Capability
from accounts.models import Organisation
from mailstore import credentials
from mailstore.engine import MAILBOX_PASSWORD
from mailstore.models import Device, Mailbox

# A program that was not seen for so long is hardly missed; phones look every few minutes.
SEEN_WITHIN = timedelta(days=30)
_MOST_NAMED = 20
_AT_ONCE = 1_000


class MoreWouldStop(Exception):
    """Since somebody looked, further mailboxes were opened by their mailbox password."""


@dataclass(frozen=True, kw_only=True)
class Stopped:
    """A mailbox that a program opens by its mailbox password, and when one last did."""

    mailbox: Mailbox
    last_at: datetime


@dataclass(frozen=True, kw_only=True)
class Foreseen:
    """What comes of it: how many mailboxes change, and in how many of them a program stops.

    `stopped` names the first of those, by address.
    """

    mailbox_count: int
    stopped_count: int
    stopped: Sequence[Stopped]


@transaction.atomic
def set_default(*, actor: Actor, organisation: Organisation, is_on: bool, at: datetime) -> bool:
    """What new mailboxes begin with; returns whether that is another answer than before.

    Those that there are stay as they are. Load `parent` with the organisation.
    """
    actor.must(Capability.MANAGE_MAIL, lineage=organisation.lineage)
    others = Organisation.objects.filter(pk=organisation.pk, app_passwords_only=not is_on)
    if not others.update(app_passwords_only=is_on):
        return False
    organisation.app_passwords_only = is_on
    outbox.record(
        kind="organisation.sign_in_default_changed",
        at=at,
        actor=actor,
        organisation=organisation,
        subject=organisation.subject,
        data={"app_passwords_only": {"old": not is_on, "new": is_on}},
    )
    return True


def foresee(organisation: Organisation, *, at: datetime) -> Foreseen:
    """What `require_everywhere` would do now. The mail server knows the real time only, as `at`."""
    stopping = _stopping(organisation, at=at)
    return Foreseen(
        mailbox_count=_open_to_passwords(organisation).count(),
        stopped_count=_count_of_mailboxes(stopping),
        stopped=_first_of(stopping),
    )


@transaction.atomic
def require_everywhere(
    *, actor: Actor, organisation: Organisation, expected: int, at: datetime
) -> int:
    """Let app passwords alone open every mailbox there is; returns how many changed.

    `expected` is in how many of them a program was said to stop: if they are more by now, nothing
    is done and `MoreWouldStop` raised. Mailbox passwords that are set stay, for whoever allows
    them again; sessions that they may have opened end.
    """
    actor.must(Capability.MANAGE_MAIL, lineage=organisation.lineage)
    membership.lock(organisation)
    stopped = _count_of_mailboxes(_stopping(organisation, at=at))
    if stopped > expected:
        message = "More programs sign in by a mailbox password than before. Look again."
        raise MoreWouldStop(message)
    changed = 0
    while piece := list(_open_to_passwords(organisation).order_by("pk")[:_AT_ONCE]):
        changed += credentials.require_app_passwords_of(
            actor=actor, organisation=organisation, mailboxes=piece, at=at
        )
    if changed:
        outbox.record(
            kind="organisation.app_passwords_required",
            at=at,
            actor=actor,
            organisation=organisation,
            subject=organisation.subject,
            data={"mailboxes": changed, "stopped": stopped},
        )
    return changed


def _open_to_passwords(organisation: Organisation) -> QuerySet[Mailbox]:
    standing = Mailbox.objects.standing()
    return standing.filter(organisation=organisation, app_passwords_only=False)


def _stopping(organisation: Organisation, *, at: datetime) -> QuerySet[Device]:
    """What signed in to its mailboxes by their mailbox passwords, and would stop."""
    return Device.objects.filter(
        mailbox__in=_open_to_passwords(organisation).exclude(password_hash=""),
        credential=MAILBOX_PASSWORD,
        last_at__gte=at - SEEN_WITHIN,
    )


def _count_of_mailboxes(devices: QuerySet[Device]) -> int:
    return devices.values("mailbox").distinct().count()


def _first_of(devices: QuerySet[Device]) -> list[Stopped]:
    seen = devices.values("mailbox", "mailbox__address").annotate(last_at=Max("last_at"))
    first = seen.order_by("mailbox__address")[:_MOST_NAMED]
    last_at = dict(first.values_list("mailbox", "last_at"))
    mailboxes = Mailbox.objects.filter(pk__in=last_at).select_related("organisation")
    return [
        Stopped(mailbox=mailbox, last_at=last_at[mailbox.pk])
        for mailbox in mailboxes.order_by("address")
    ]
