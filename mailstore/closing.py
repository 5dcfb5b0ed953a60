"""The end of a mailbox: its address is given up, and its home erased, with a receipt.

Nothing here happens under a hold. The home is found by the mailbox's uuid, so an address that
was opened again meanwhile is out of reach.
"""

from __future__ import annotations

from datetime import datetime

from django.db import transaction

from accounts import outbox
from accounts.access import Actor
from accounts.models import Organisation, on_clock_of
from mailstore import (
    ending,
    holding,
    provisioning,
    purging,
    restore_ends,
    sign_ins,
    turns,
    working,
)
from mailstore.engine import Engine
from mailstore.models import AppPassword, LastLogin, Mailbox, PurgeRun, Usage, UsageDay
from mailstore.models.mailboxes import MailboxQuerySet


def close_for_good(
    *, actor: Actor, at: datetime, among: Organisation | None = None, limit: int = 100
) -> int:
    """End the grace of mailboxes whose time has come; their addresses are free again.

    Those of one test organisation by its clock, or of all that live by the real one. What is held
    or frozen waits without a turn, so that it holds up nobody.
    """
    due = Mailbox.objects.filter(
        on_clock_of(among, "organisation__"),
        state=Mailbox.State.CLOSING,
        erase_after__lte=at,
        frozen_at__isnull=True,
    ).exclude(pk__in=holding.held().values("pk"))
    closed = 0
    for mailbox in due.select_related("organisation__parent", "domain").order_by("erase_after")[
        :limit
    ]:
        try:
            give_up_address(actor=actor, mailbox=mailbox, at=at)
        except (provisioning.WrongState, holding.Stopped):
            continue  # It was reopened, held or frozen a moment ago.
        closed += 1
    return closed


@transaction.atomic
def give_up_address(*, actor: Actor, mailbox: Mailbox, at: datetime) -> None:
    """The step that cannot be taken back: from here on the home is found by its uuid only.

    What is still planned is given up, since the address may lead to another home from now on.
    An alarm is answered first: whoever emptied the mailbox may be who closed it.
    """
    locked = holding.lock(mailbox)
    holding.refuse_if_kept(locked)
    provisioning.move(
        mailbox,
        actor=actor,
        at=at,
        sources=(Mailbox.State.CLOSING,),
        target=Mailbox.State.CLOSED,
        kind="mailbox.closed",
    )
    ending.give_up_rest(mailbox=locked, at=at)
    restore_ends.give_up_rest(mailbox=locked, at=at)
    AppPassword.objects.filter(mailbox=mailbox).delete()
    # Whoever has the address next is at home where they sign in themselves, and nowhere else.
    LastLogin.objects.filter(username=mailbox.address).delete()
    _empty_report(mailbox.address)


def erase(*, mailbox: Mailbox, engine: Engine, at: datetime) -> None:
    """Write down what a closed mailbox still holds, and remove all of it from the mail server.

    Killed in between, the next call finds the receipt and only goes on erasing. A hold that
    is placed meanwhile waits for a batch, and keeps what is left then.
    """
    holding.refuse_if_held(mailbox)
    ending.end_all_begun(mailbox=mailbox, engine=engine, at=at)
    restore_ends.end_all_begun(mailbox=mailbox, engine=engine, at=at)
    run = PurgeRun.objects.open().filter(mailbox=mailbox, kind=PurgeRun.Kind.CLOSING).first()
    if run is None:
        run = purging.plan_closing(mailbox=mailbox, engine=engine, at=at)
    _empty(mailbox, engine=engine, in_store=False)
    _empty(mailbox, engine=engine, in_store=True)
    with transaction.atomic():
        holding.refuse_if_held(holding.lock(mailbox))
        engine.erase(user=mailbox.tombstone)
        purging.conclude_closing(run=run, at=at)
        forget_reports(mailbox)
        closed = Mailbox.objects.filter(pk=mailbox.pk, state=Mailbox.State.CLOSED)
        if closed.filter(erased_at=None).update(erased_at=at):
            _record_erasure(mailbox, run, at=at)


def _record_erasure(mailbox: Mailbox, run: PurgeRun, *, at: datetime) -> None:
    """The note that nothing of the mailbox is left, with the receipt of what there was."""
    outbox.record(
        kind="mailbox.erased",
        at=at,
        actor=ending.WORKER,
        organisation=mailbox.organisation,
        subject=mailbox.subject,
        data={"receipt": str(run.uuid), "messages": run.messages, "bytes": run.bytes},
    )


def _empty(mailbox: Mailbox, *, engine: Engine, in_store: bool) -> None:
    """Clear all folders, or the recoverable store, into which the folders' mail goes first."""
    user = mailbox.tombstone
    remove = engine.remove_for_good if in_store else engine.remove
    for state in engine.folder_states(user=user, removed=in_store):
        found = engine.messages(user=user, folder=state.folder, removed=in_store)
        uids = [message.uid for message in found]
        for start in range(0, len(uids), working.BATCH_MESSAGES):
            with transaction.atomic():
                holding.refuse_if_held(holding.lock(mailbox))
                part = uids[start : start + working.BATCH_MESSAGES]
                remove(user=user, folder=state.folder, uids=part)


def erase_closed(*, engine: Engine, at: datetime, limit: int = 100) -> int:
    """Erase the homes of closed mailboxes, oldest first; returns how many."""
    due = Mailbox.objects.filter(state=Mailbox.State.CLOSED, erased_at__isnull=True)
    due = due.exclude(pk__in=holding.held_with_closed().values("pk"))
    return turns.each(
        _with_people(due).order_by("id"),
        lambda mailbox: erase(mailbox=mailbox, engine=engine, at=at),
        named="erasing mailboxes",
        at=at,
        limit=limit,
    )


def _with_people(mailboxes: MailboxQuerySet) -> MailboxQuerySet:
    return mailboxes.select_related("organisation__parent", "domain")


def forget_reports(mailbox: Mailbox) -> None:
    """Drop what Dovecot reported, unless a new mailbox has the address by now."""
    names = [mailbox.tombstone]
    for reports in (Usage.objects, UsageDay.objects):
        reports.filter(username=mailbox.tombstone).delete()
    if not Mailbox.objects.standing().filter(address=mailbox.address).exists():
        names.append(mailbox.address)
        _empty_report(mailbox.address)
    LastLogin.objects.filter(username__in=names).delete()
    sign_ins.forget_all(mailbox)


def _empty_report(address: str) -> None:
    """From here on nothing is used; what the meter has counted so far is still to be charged."""
    Usage.objects.filter(username=address).update(bytes=0, messages=0)
