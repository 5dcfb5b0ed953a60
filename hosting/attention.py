"""What staff should look at: how much of each, since when, and who may know of it.

Every question is answered from an index that holds what is wrong alone, so that it costs the
same behind a thousand mailboxes and behind a million.
"""

from __future__ import annotations

import shutil
import socket
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db.models import QuerySet

from accounts import notices
from accounts.models import FactorLoss, Organisation, Setback
from hosting import gathering
from hosting.models import (
    BankImport,
    BulkRequest,
    Dunning,
    HeldOverage,
    MailboxImport,
    MonthClose,
    PanelHost,
    ProviderEvent,
    Pulse,
    Refund,
    UploadedList,
    WebhookEndpoint,
)
from mailstore import health
from mailstore.models import (
    Alarm,
    Domain,
    DomainDns,
    Drift,
    FullSweep,
    GuessingAlarm,
    Hold,
    Mailbox,
    PendingChange,
    ProtocolSwitch,
    PurgeRun,
    Recount,
)

# A lease lasts two minutes; whoever has held none for so long is not at work.
_STUCK = timedelta(minutes=10)
# The sweep that erases looks every five minutes.
_ERASED_LATE = timedelta(hours=1)
_LATELY = timedelta(days=7)
_A_DAY = timedelta(days=1)
_TWO_NIGHTS = timedelta(hours=49)
_BEAT_SILENCE = timedelta(seconds=45)
_KNOCK_SECONDS = 0.5
_LEAST_FREE_SHARE = 0.1


@dataclass(frozen=True, kw_only=True)
class Watch:
    """One thing that may need attention. `field` tells since when a row does."""

    name: str
    permission: str
    rows: Callable[[datetime], QuerySet[Any]]
    field: str
    # The database that holds it, where that is not the panel's own.
    is_reported: bool = False


@dataclass(frozen=True, kw_only=True)
class Found:
    """How much there is of it. Above `gathering.MOST_COUNTED` nobody counted on."""

    name: str
    count: int
    since: datetime | None

    @property
    def is_more(self) -> bool:
        """Whether there is more than was counted."""
        return self.count > gathering.MOST_COUNTED


def find(*, may: Callable[[str], bool], at: datetime) -> list[Found]:
    """Everything that somebody with these rights may know of, in two statements at most."""
    watches = [watch for watch in WATCHES if may(watch.permission)]
    counted = gathering.counts(_parts(watches, at=at, is_reported=False)) | gathering.counts(
        _parts(watches, at=at, is_reported=True), using=settings.REPORTS_DATABASE
    )
    return [
        Found(name=watch.name, count=counted[watch.name][0], since=counted[watch.name][1])
        for watch in watches
    ]


def _parts(
    watches: Iterable[Watch], *, at: datetime, is_reported: bool
) -> list[tuple[str, QuerySet[Any], str]]:
    chosen = [watch for watch in watches if watch.is_reported == is_reported]
    return [(watch.name, watch.rows(at), watch.field) for watch in chosen]


def _late_purges(at: datetime) -> QuerySet[PurgeRun]:
    """Among the oldest that are open: planned long ago stands at the beginning."""
    oldest = PurgeRun.objects.filter(state__in=("planned", "running")).order_by("pk")
    return health.late(at).filter(pk__in=oldest.values("pk")[: gathering.MOST_COUNTED + 1])


def _stuck(lists: type[UploadedList]) -> Callable[[datetime], QuerySet[Any]]:
    def rows(at: datetime) -> QuerySet[Any]:
        running = lists._default_manager.filter(state=UploadedList.State.RUNNING)  # noqa: SLF001  # Django's way
        return running.filter(leased_until__lt=at - _STUCK).order_by("pk")

    return rows


WATCHES = (
    Watch(
        name="alarms",
        permission="mailstore.view_alarm",
        rows=lambda _at: Alarm.objects.open().order_by("at"),
        field="at",
    ),
    Watch(
        name="bulk",
        # Nearly all are about mail; whoever may confirm another one has a letter about it.
        permission="mailstore.view_mailbox",
        rows=lambda at: BulkRequest.objects.asked(at=at).order_by("expires_at"),
        field="asked_at",
    ),
    Watch(
        name="failed_purges",
        permission="mailstore.view_purgerun",
        rows=lambda _at: health.failing().order_by("pk"),
        field="planned_at",
    ),
    Watch(
        name="late_purges",
        permission="mailstore.view_purgerun",
        rows=_late_purges,
        field="planned_at",
    ),
    Watch(
        name="failed_restores",
        permission="mailstore.view_restorerun",
        rows=lambda _at: health.failed_restores().order_by("pk"),
        field="planned_at",
    ),
    Watch(
        name="late_erasures",
        permission="mailstore.view_mailbox",
        rows=lambda at: Mailbox.objects.filter(
            state=Mailbox.State.CLOSING, erase_after__lt=at - _ERASED_LATE
        ).order_by("erase_after"),
        field="erase_after",
    ),
    Watch(
        name="setbacks",
        permission="accounts.view_setback",
        rows=lambda _at: Setback.objects.order_by("pk"),
        field="failed_first_at",
    ),
    Watch(
        name="mailbox_imports",
        permission="hosting.view_mailboximport",
        rows=_stuck(MailboxImport),
        field="leased_until",
    ),
    Watch(
        name="bank_imports",
        permission="hosting.view_bankimport",
        rows=_stuck(BankImport),
        field="leased_until",
    ),
    Watch(
        name="switches",
        permission="mailstore.view_protocolswitch",
        rows=lambda _at: (
            ProtocolSwitch.objects.filter(done_at__isnull=True).exclude(failure="").order_by("pk")
        ),
        field="at",
    ),
    Watch(
        name="failed_changes",
        permission="mailstore.view_pendingchange",
        rows=lambda at: PendingChange.objects.filter(
            state=PendingChange.State.FAILED, ended_at__gt=at - _LATELY
        ).order_by("ended_at"),
        field="ended_at",
    ),
    Watch(
        name="unanswered",
        permission="accounts.view_organisation",
        rows=lambda _at: Organisation.objects.filter(unanswered_since__isnull=False).order_by(
            "unanswered_since"
        ),
        field="unanswered_since",
    ),
    Watch(
        name="letters",
        permission="accounts.view_notice",
        rows=lambda _at: notices.refused(),
        field="created_at",
    ),
    Watch(
        name="webhooks_off",
        permission="hosting.view_webhookendpoint",
        rows=lambda _at: WebhookEndpoint.objects.given_up().order_by("state_since"),
        field="state_since",
    ),
    Watch(
        name="webhooks_failing",
        permission="hosting.view_webhookendpoint",
        rows=lambda _at: (
            WebhookEndpoint.objects.enabled()
            .filter(failing_since__isnull=False)
            .order_by("failing_since")
        ),
        field="failing_since",
    ),
    Watch(
        name="provider",
        permission="hosting.view_providerevent",
        rows=lambda _at: ProviderEvent.objects.filter(state=ProviderEvent.State.FAILED).order_by(
            "received_at"
        ),
        field="received_at",
    ),
    Watch(
        name="refunds",
        permission="hosting.view_refund",
        rows=lambda _at: Refund.objects.filter(state=Refund.State.FAILED).order_by("asked_at"),
        field="asked_at",
    ),
    Watch(
        name="bills",
        permission="hosting.view_monthclose",
        rows=lambda _at: MonthClose.objects.filter(failing_since__isnull=False).order_by(
            "failing_since"
        ),
        field="failing_since",
    ),
    Watch(
        name="overage",
        permission="hosting.view_heldoverage",
        rows=lambda _at: HeldOverage.objects.waiting().order_by("held_at"),
        field="held_at",
    ),
    Watch(
        name="past_due",
        permission="hosting.view_dunning",
        rows=lambda _at: Dunning.objects.open().order_by("began_at"),
        field="began_at",
    ),
    Watch(
        name="full",
        permission="mailstore.view_mailbox",
        rows=lambda _at: Mailbox.objects.filter(full_since__isnull=False).order_by("full_since"),
        field="full_since",
    ),
    Watch(
        name="guessed",
        permission="mailstore.view_guessingalarm",
        rows=lambda at: GuessingAlarm.objects.filter(noticed_at__gt=at - _A_DAY).order_by(
            "noticed_at"
        ),
        field="noticed_at",
    ),
    Watch(
        name="lost_factors",
        permission="accounts.view_factorloss",
        rows=lambda _at: FactorLoss.objects.filter(state=FactorLoss.State.WAITING).order_by(
            "due_at"
        ),
        field="asked_at",
    ),
    Watch(
        name="domains",
        permission="mailstore.view_domain",
        rows=lambda _at: Domain.objects.filter(state=Domain.State.WAITING).order_by("created_at"),
        field="created_at",
    ),
    Watch(
        name="dns_failing",
        permission="mailstore.view_domain",
        rows=lambda _at: DomainDns.objects.failing().order_by("failing_since"),
        field="failing_since",
    ),
    Watch(
        name="hosts",
        permission="hosting.view_panelhost",
        rows=lambda _at: PanelHost.objects.filter(failing_since__isnull=False).order_by(
            "failing_since"
        ),
        field="failing_since",
    ),
    Watch(
        name="drift",
        permission="mailstore.view_drift",
        rows=lambda at: Drift.objects.filter(
            until__gte=int((at - _TWO_NIGHTS).timestamp())
        ).order_by("until"),
        field="until",
        is_reported=True,
    ),
    Watch(
        name="holds",
        permission="mailstore.view_hold",
        rows=lambda _at: Hold.objects.standing().order_by("placed_at"),
        field="placed_at",
    ),
    Watch(
        name="changes",
        permission="mailstore.view_pendingchange",
        rows=lambda _at: PendingChange.objects.waiting().order_by("effective_at"),
        field="asked_at",
    ),
)


@dataclass(frozen=True, kw_only=True)
class Sign:
    """One part of the house: whether it is well, and since when or how far."""

    name: str
    is_well: bool
    value: Any = None


def signs(*, at: datetime) -> list[Sign]:
    """How queue, workers, mail server and disk are, from what is cheap to ask."""
    beat = Pulse.objects.filter(name="beat").first()
    sweep = FullSweep.objects.exclude(finished_at=None).order_by("-started_at").first()
    recount = Recount.objects.order_by("-started_at").first()
    disk = shutil.disk_usage(settings.RESTANTE_STATE)
    is_current = at - 2 * settings.FULL_SWEEP_EVERY
    return [
        Sign(
            name="workers",
            is_well=beat is not None and beat.at > at - _BEAT_SILENCE,
            value=beat.at if beat else None,
        ),
        Sign(name="mail_server", is_well=_answers()),
        Sign(name="disk", is_well=disk.free > disk.total * _LEAST_FREE_SHARE, value=disk.free),
        Sign(
            name="sweep",
            is_well=sweep is None or sweep.started_at > is_current,
            value=sweep.finished_at if sweep else None,
        ),
        Sign(
            name="recount",
            is_well=recount is None or recount.started_at > at - _TWO_NIGHTS,
            value=recount.started_at if recount else None,
        ),
    ]


def _answers() -> bool:
    """Whether the mail server's door opens; a page cannot wait for a whole command."""
    where = (settings.DOVEADM_HOST, settings.DOVEADM_PORT)
    try:
        socket.create_connection(where, timeout=_KNOCK_SECONDS).close()
    except OSError:
        return False
    return True
