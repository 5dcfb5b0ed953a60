"""News for people: one row a recipient, sent by a worker, kept until the relay took it."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import QuerySet

from accounts import invitations, links, lost_links, mailer, membership, outbox, spans
from accounts.access import Actor, Forbidden
from accounts.models import Notice, Organisation, User

logger = logging.getLogger(__name__)

_FIRST_WAIT = timedelta(minutes=5)
_LONGEST_WAIT = timedelta(hours=6)


class SentAlready(Exception):
    """The relay has the letter."""


def announce(
    *,
    organisations: Iterable[Organisation],
    name: str,
    context: dict[str, Any],
    at: datetime,
    but: frozenset[str] = frozenset(),
    about: str = "",
    with_billing: bool = False,
) -> int:
    """Tell all owners of these organisations, except at the addresses in `but`.

    `context` is JSON values, without a secret; by `about` the rows are found again. Returns
    how many people are told.
    """
    people: dict[str, Organisation] = {}
    concerned = list(organisations)
    owners = _owners_of_each(concerned)
    for organisation in concerned:
        payers = membership.payers_of(organisation) if with_billing else []
        for email in (*owners[organisation.pk], *payers):
            people.setdefault(email, organisation)
    told = sorted(people.keys() - but)
    Notice.objects.bulk_create(
        Notice(
            to=email,
            name=name,
            context=context,
            organisation=people[email],
            about=about,
            created_at=at,
        )
        for email in told
    )
    outbox.nudge("accounts.send_notices")
    return len(told)


def write(
    *,
    to: str,
    organisation: Organisation | None,
    name: str,
    context: dict[str, Any],
    at: datetime,
    about: str = "",
) -> None:
    """Write to one person in an organisation's name, or the house's; `announce` says the rest."""
    Notice.objects.create(
        to=to, name=name, context=context, organisation=organisation, about=about, created_at=at
    )
    outbox.nudge("accounts.send_notices")


def tell(
    *, user: User, name: str, context: dict[str, Any], at: datetime, to: str | None = None
) -> None:
    """Write to a person about its own account, at its address or at another one of its.

    The letter is in the name of whoever the person belongs to, and so is its link (`links`).
    """
    Notice.objects.create(
        to=to or user.email,
        name=name,
        context=context,
        organisation=membership.home_of(user),
        created_at=at,
    )
    outbox.nudge("accounts.send_notices")


def take_back(about: str) -> None:
    """Letters that have not left, and would say what is not so any more."""
    Notice.objects.filter(about=about, sent_at=None).delete()


def addresses(organisation: Organisation) -> list[str]:
    """Where an organisation's owners are told."""
    return _owners_of_each([organisation])[organisation.pk]


def _owners_of_each(organisations: Sequence[Organisation]) -> dict[int, list[str]]:
    """Where nobody has come in yet, the letters go to whoever was asked to own it."""
    owners = membership.owners_of_each(organisations)
    unowned = [each for each in organisations if each.pk not in owners]
    invited = invitations.owners_to_be(unowned) if unowned else {}
    return {each.pk: owners.get(each.pk) or invited.get(each.pk, []) for each in organisations}


def send_waiting(*, at: datetime, limit: int = 200) -> int:
    """Send what is due, oldest first; returns how many the relay took.

    A letter that is refused, or that cannot even be written, waits ever longer and holds up no
    other. Nothing is given up. A relay that is away leaves everything for the next time.
    """
    sent = 0
    for notice in _due(at).order_by("id")[:limit]:
        # Whoever moves the row on sends it, so that two workers do not both. If that worker
        # dies, the letter goes out later: it counts as sent only once the relay has it.
        mine = Notice.objects.filter(pk=notice.pk, sent_at__isnull=True, tries=notice.tries)
        if not mine.update(tries=notice.tries + 1, next_try_at=at + _wait_after(notice.tries)):
            continue
        try:
            mailer.send(
                name=notice.name,
                to=notice.to,
                context=_context(notice),
                letterhead=mailer.letterhead(notice.organisation_id),
            )
        except mailer.Refused as refusal:
            logger.warning("Notice %s is refused: %s", notice.pk, refusal)
            _note(notice, str(refusal))
        except mailer.MailNotSent as reason:
            logger.warning("The relay takes no mail: %s", reason)
            Notice.objects.filter(pk=notice.pk).update(tries=notice.tries, next_try_at=None)
            break
        except Exception as failure:
            logger.exception("Notice %s cannot be written", notice.pk)
            _note(notice, f"{type(failure).__name__}: {failure}")
        else:
            Notice.objects.filter(pk=notice.pk).update(sent_at=at, failure="")
            sent += 1
    return sent


def _context(notice: Notice) -> dict[str, Any]:
    """What is stored, and what must not be: a link that lets somebody in."""
    context = dict(notice.context)
    token = links.of_letter(context, to=notice.to) or lost_links.of_letter(context, to=notice.to)
    if token is not None:
        context["token"] = token
    return context


def _note(notice: Notice, failure: str) -> None:
    Notice.objects.filter(pk=notice.pk).update(failure=failure[:300])


def written(notice: Notice) -> tuple[str, str]:
    """Subject and plain text of a letter, without what would let its reader in.

    Raises whatever keeps it from being written.
    """
    context = _context(notice)
    context |= {name: "…" for name in context if name == "token"}
    subject, text, _html = mailer.rendered(notice.name, context)
    return subject, text


@transaction.atomic
def send_again(*, actor: Actor, notice: Notice, at: datetime) -> None:
    """Try a letter now that was not taken, and let its waits begin anew. Only staff may.

    Raises `SentAlready`.
    """
    if not actor.is_staff:
        message = "Only staff send a letter again."
        raise Forbidden(message)
    unsent = Notice.objects.filter(pk=notice.pk, sent_at__isnull=True)
    if not unsent.update(tries=0, next_try_at=None):
        message = f"The relay has taken the letter to {notice.to} meanwhile."
        raise SentAlready(message)
    # A letter belongs to nobody's organisation, so the house keeps the fact.
    outbox.record(
        kind="notice.sent_again",
        at=at,
        actor=actor,
        organisation=Organisation.objects.get(kind=Organisation.Kind.PROVIDER),
        subject=("notice", str(notice.pk), str(notice)),
    )
    outbox.nudge("accounts.send_notices")


def refused() -> QuerySet[Notice]:
    """What the relay did not take, or what cannot be written; it is tried again. Oldest first."""
    return Notice.objects.filter(sent_at__isnull=True).exclude(failure="").order_by("id")


def waiting_since(latest: datetime) -> datetime | None:
    """When the oldest was written of those that wait since before `latest`, not being refused."""
    waiting = Notice.objects.filter(sent_at__isnull=True, failure="", created_at__lt=latest)
    oldest = waiting.order_by("created_at").first()
    return oldest.created_at if oldest else None


def _due(at: datetime) -> QuerySet[Notice]:
    """Nobody is at it and its wait is over."""
    waits = spans.lasts("next_try_at", at=at, longest=_LONGEST_WAIT)
    return Notice.objects.filter(sent_at__isnull=True).exclude(waits)


def _wait_after(tries: int) -> timedelta:
    # Beyond so many tries the power has long passed the longest wait.
    return min(_FIRST_WAIT * (1 << min(tries, 10)), _LONGEST_WAIT)
