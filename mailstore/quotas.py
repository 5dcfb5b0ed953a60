"""Space: the hard limit, warnings on the way to it, and what happens to mail beyond it."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.db import transaction

from accounts import mailer, notices, outbox
from accounts.access import Actor, Capability, system
from mailstore.engine import Engine, EngineError, EngineUnavailable
from mailstore.models import Mailbox, QuotaWarning, Usage

THRESHOLDS = (80, 90, 100)
# Usage reports are looked up in one query; SQLite takes at most 32,766 values in one.
_BATCH = 500


class ImpossibleLimit(Exception):
    """A limit that no mailbox can have."""


def change_limit(
    *,
    actor: Actor,
    mailbox: Mailbox,
    quota_bytes: int,
    at: datetime,
    now: datetime | None = None,
) -> None:
    """Set the hard limit; below the present use it stops new mail and removes none.

    `now` is what time it really is, where `at` is by the clock of a test organisation: a mailbox
    is full by that one.
    """
    actor.must(Capability.MANAGE_MAIL, lineage=mailbox.organisation.lineage)
    check_limit(quota_bytes)
    with transaction.atomic():
        old_bytes = mailbox.quota_bytes
        Mailbox.objects.filter(pk=mailbox.pk).update(quota_bytes=quota_bytes)
        mailbox.quota_bytes = quota_bytes
        outbox.record(
            kind="mailbox.updated",
            at=at,
            actor=actor,
            organisation=mailbox.organisation,
            subject=mailbox.subject,
            data={"quota_bytes": {"old": old_bytes, "new": quota_bytes}},
        )
    weigh(mailbox=mailbox, used_bytes=used(mailbox), at=now or at)


def check_limit(quota_bytes: int) -> None:
    """Raise `ImpossibleLimit` for what no mailbox can have."""
    if quota_bytes <= 0:
        message = "The limit is at least one byte."
        raise ImpossibleLimit(message)


def used(mailbox: Mailbox) -> int:
    """The bytes a person can see in the mailbox, as Dovecot reported them last."""
    report = Usage.objects.filter(username=mailbox.address).first()
    return report.bytes if report else 0


def level(*, used_bytes: int, quota_bytes: int) -> int:
    """The highest threshold reached, or 0."""
    return max((t for t in THRESHOLDS if used_bytes * 100 >= quota_bytes * t), default=0)


def watch(*, at: datetime, limit: int = 5000) -> int:
    """Weigh every mailbox whose use changed; returns how many reports were looked at.

    A report is marked as seen only if it still says what was weighed, so a change in
    between is looked at again.
    """
    changed = list(Usage.objects.filter(is_changed=True)[:limit])
    for start in range(0, len(changed), _BATCH):
        _weigh_reports(changed[start : start + _BATCH], at=at)
    return len(changed)


def _weigh_reports(reports: list[Usage], *, at: datetime) -> None:
    by_address = {report.username: report for report in reports}
    mailboxes = Mailbox.objects.standing().filter(address__in=by_address)
    for mailbox in mailboxes.select_related("organisation"):
        weigh(mailbox=mailbox, used_bytes=by_address[mailbox.address].bytes, at=at)
    for report in reports:
        Usage.objects.filter(
            username=report.username,
            bytes=report.bytes,
            messages=report.messages,
        ).update(is_changed=False)


@transaction.atomic
def weigh(*, mailbox: Mailbox, used_bytes: int, at: datetime) -> None:
    """Compare use with the limit: warn on the way up, once a threshold; re-arm on the way down."""
    if used_bytes >= mailbox.quota_bytes:
        _mark_full(mailbox, used_bytes=used_bytes, at=at)
    elif mailbox.full_bytes is not None and used_bytes < mailbox.full_bytes:
        _mark_roomy(mailbox, at=at)
    reached = level(used_bytes=used_bytes, quota_bytes=mailbox.quota_bytes)
    if mailbox.full_since is not None:
        reached = max(THRESHOLDS)
    _warn(mailbox, reached=reached, used_bytes=used_bytes, at=at)


@transaction.atomic
def note_refusal(*, address: str, at: datetime) -> None:
    """The mail server put off a message because it did not fit.

    The limit is exact, so a mailbox can be full for every message that arrives without ever
    reaching its last byte. A refusal counts as full.
    """
    mailbox = (
        Mailbox.objects.standing().filter(address=address).select_related("organisation").first()
    )
    if mailbox is None:
        return
    used_bytes = used(mailbox)
    _mark_full(mailbox, used_bytes=used_bytes, at=at)
    _warn(mailbox, reached=max(THRESHOLDS), used_bytes=used_bytes, at=at)


@transaction.atomic
def end_grace(*, grace: timedelta, at: datetime) -> int:
    """Refuse for good what mailboxes that stayed full would have put off; returns how many."""
    full = Mailbox.objects.standing().filter(full_since__lte=at - grace, refuses_when_full=False)
    return full.lock().update(refuses_when_full=True)


def send_warnings(*, engine: Engine, at: datetime, limit: int = 200) -> int:
    """Bring the news to the mailbox and its owners; what fails stays for the next time."""
    unsent = QuotaWarning.objects.filter(stored_at__isnull=True) | QuotaWarning.objects.filter(
        mailed_at__isnull=True,
    )
    sent = 0
    for warning in unsent.select_related("mailbox__organisation").order_by("id")[:limit]:
        _store(warning, engine=engine, at=at)
        _mail(warning, at=at)
        sent += 1
    return sent


def _mark_full(mailbox: Mailbox, *, used_bytes: int, at: datetime) -> None:
    Mailbox.objects.filter(pk=mailbox.pk, full_since__isnull=True).update(full_since=at)
    Mailbox.objects.filter(pk=mailbox.pk).update(full_bytes=used_bytes)
    mailbox.refresh_from_db(fields=["full_since", "full_bytes"])


def _mark_roomy(mailbox: Mailbox, *, at: datetime) -> None:
    empty = {"full_since": None, "full_bytes": None, "refuses_when_full": False}
    Mailbox.objects.filter(pk=mailbox.pk).update(**empty)
    mailbox.refresh_from_db(fields=list(empty))
    _record("mailbox.quota_recovered", mailbox=mailbox, percent=0, at=at)


def _warn(mailbox: Mailbox, *, reached: int, used_bytes: int, at: datetime) -> None:
    rearmed = Mailbox.objects.filter(pk=mailbox.pk, warned_percent__gt=reached)
    if rearmed.update(warned_percent=reached):
        return
    risen = Mailbox.objects.filter(pk=mailbox.pk, warned_percent__lt=reached)
    if not risen.update(warned_percent=reached):
        return
    QuotaWarning.objects.create(
        mailbox=mailbox,
        percent=reached,
        used_bytes=used_bytes,
        quota_bytes=mailbox.quota_bytes,
        at=at,
    )
    kind = "mailbox.quota_exceeded" if reached == max(THRESHOLDS) else "mailbox.quota_warning"
    _record(kind, mailbox=mailbox, percent=reached, at=at)


def _record(kind: str, *, mailbox: Mailbox, percent: int, at: datetime) -> None:
    outbox.record(
        kind=kind,
        at=at,
        actor=system("quota watch"),
        organisation=mailbox.organisation,
        subject=mailbox.subject,
        data={"percent": percent, "quota_bytes": mailbox.quota_bytes},
    )


def _context(warning: QuotaWarning) -> dict[str, Any]:
    mailbox = warning.mailbox
    return {
        "mailbox_address": mailbox.address,
        "protocol": mailbox.protocol,
        "percent": warning.percent,
        "used_text": byte_text(warning.used_bytes),
        "quota_text": byte_text(warning.quota_bytes),
    }


def _store(warning: QuotaWarning, *, engine: Engine, at: datetime) -> None:
    if warning.stored_at is not None:
        return
    address = warning.mailbox.address
    message = mailer.compose(
        name="quota_warning",
        to=address,
        context=_context(warning),
        letterhead=mailer.letterhead(warning.mailbox.organisation_id),
    )
    try:
        engine.store(user=address, folder="INBOX", message=message)
    except EngineUnavailable:
        return
    except EngineError:
        # The mailbox was closed meanwhile: nobody is left to read it there.
        pass
    QuotaWarning.objects.filter(pk=warning.pk).update(stored_at=at)


@transaction.atomic
def _mail(warning: QuotaWarning, *, at: datetime) -> None:
    """One letter for each owner, each sent on its own; the mailbox itself has its copy."""
    unmailed = QuotaWarning.objects.filter(pk=warning.pk, mailed_at__isnull=True)
    if not unmailed.update(mailed_at=at):
        return
    notices.announce(
        organisations=[warning.mailbox.organisation],
        name="quota_warning",
        context=_context(warning),
        at=at,
        but=frozenset({warning.mailbox.address}),
    )


def byte_text(count: int) -> str:
    """Bytes as a person reads them; 1 GB is 10^9 bytes, as on plans and bills."""
    for unit, size in (("TB", 10**12), ("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if count >= size:
            return f"{count / size:.1f}".removesuffix(".0") + f" {unit}"
    return f"{count} B"
