"""The state of purging on one page: figures first, then what each of them stands for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.urls import reverse
from django.utils.translation import gettext, ngettext

from mailstore import health, quotas
from mailstore.admin.holds import scope_text
from mailstore.admin.tables import Row, Table, first, url_of
from mailstore.models import FullSweep, Hold, Mailbox, PurgeRun, RestoreRun

_MOST_LISTED = 20


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One number with its meaning; with an address, it leads to the rows behind it."""

    name: str
    value: object
    note: str = ""
    url: str = ""


def context(*, at: datetime) -> dict[str, Any]:
    """Everything that the page shows, as of a moment."""
    found = health.report(at=at)
    return {
        "title": gettext("State of purging"),
        "at": at,
        "is_late": bool(found.late or found.lag_minutes > _late_minutes()),
        "has_failed": bool(found.failed or found.refused),
        "figures": _figures(found),
        "tables": [
            _runs(gettext("Failed, and tried again"), found.failed, gettext("No run has failed.")),
            _runs(gettext("Late"), _late(at), gettext("No run is late.")),
            _runs(gettext("Not over"), _open(), gettext("No run is planned or at work.")),
            _refused(),
            _due(at),
            _frozen(),
            _holds(),
        ],
    }


def _figures(found: health.Health) -> list[Figure]:
    return [*_of_work(found), *_of_mailboxes(found), _sweep(found.last_sweep)]


def _of_work(found: health.Health) -> list[Figure]:
    """What is to be done, and how far it is."""
    return [
        Figure(
            name=gettext("Due"),
            value=_count_text(found.due),
            note=gettext("mailboxes that wait for their look; new or with new rules: %(count)s")
            % {"count": _count_text(found.unlooked)},
        ),
        Figure(
            name=gettext("Lag"),
            value=_minutes(found.lag_minutes),
            note=gettext("the oldest of them has waited"),
        ),
        Figure(
            name=gettext("Running or planned"),
            value=_count_text(found.running),
            url=_runs_url("open"),
        ),
        Figure(name=gettext("Paused"), value=_count_text(found.paused), url=_runs_url("open")),
        Figure(
            name=gettext("Late"),
            value=_count_text(found.late),
            note=gettext("planned more than %(minutes)s minutes ago")
            % {"minutes": _late_minutes()},
            url=_runs_url("late"),
        ),
        Figure(name=gettext("Failed"), value=str(len(found.failed)), url=_runs_url("failed")),
        Figure(
            name=gettext("Refused"),
            value=_count_text(found.refused),
            note=gettext("mailboxes of which the mail server does not say what is due"),
            url=reverse("admin:accounts_setback_changelist"),
        ),
    ]


def _of_mailboxes(found: health.Health) -> list[Figure]:
    """What stops removal, and what was removed and is still there."""
    return [
        Figure(
            name=gettext("Frozen mailboxes"),
            value=_count_text(found.frozen),
            note=gettext("alarms without an answer: %(count)s; no owner told: %(untold)s")
            % {
                "count": _count_text(found.open_alarms),
                "untold": _count_text(found.untold_alarms),
            },
            url=reverse("admin:mailstore_mailbox_changelist") + "?frozen_at__isempty=0",
        ),
        Figure(
            name=gettext("Held mailboxes"),
            value=_count_text(found.held),
            note=gettext("holds that stand: %(count)s") % {"count": _count_text(found.holds)},
            url=reverse("admin:mailstore_hold_changelist") + "?state=standing",
        ),
        Figure(
            name=gettext("Recoverable store"),
            value=quotas.byte_text(health.store_bytes()),
            note=gettext("removed mail that can still be brought back"),
        ),
    ]


def _sweep(sweep: FullSweep | None) -> Figure:
    name = gettext("Last full sweep")
    if sweep is None:
        return Figure(name=name, value=gettext("never yet"))
    note = gettext("%(looked_at)s mailboxes, %(missed)s missed by their own moment")
    values = {"looked_at": sweep.looked_at, "missed": sweep.missed}
    return Figure(name=name, value=sweep.finished_at, note=note % values)


def _count_text(count: int) -> str:
    """What is above the most is not counted on."""
    most = health.MOST_COUNTED
    return f"{most:,}+" if count > most else f"{count:,}"


def _minutes(count: int) -> str:
    return ngettext("%(count)s minute", "%(count)s minutes", count) % {"count": count}


def _late_minutes() -> int:
    return int(health.LATE.total_seconds() // 60)


def _runs_url(progress: str) -> str:
    return f"{reverse('admin:mailstore_purgerun_changelist')}?progress={progress}"


def _late(at: datetime) -> list[PurgeRun]:
    return list(health.late(at).select_related("mailbox").order_by("pk")[:_MOST_LISTED])


def _open() -> list[PurgeRun]:
    runs = PurgeRun.objects.open().select_related("mailbox")
    return list(runs.order_by("pk")[:_MOST_LISTED])


def _runs(title: str, runs: Sequence[PurgeRun | RestoreRun], empty: str) -> Table:
    return Table(
        title=title,
        columns=(
            gettext("Mailbox"),
            gettext("Kind"),
            gettext("State"),
            gettext("Planned"),
            gettext("Attempts"),
            gettext("Why"),
        ),
        rows=[
            Row(
                url=url_of(run),
                cells=(
                    run.mailbox.address,
                    _kind_text(run),
                    run.get_state_display(),
                    run.planned_at,
                    run.attempts,
                    run.failure,
                ),
            )
            for run in runs
        ],
        empty=empty,
    )


def _kind_text(run: PurgeRun | RestoreRun) -> str:
    return run.get_kind_display() if isinstance(run, PurgeRun) else gettext("Restore")


def _refused() -> Table:
    rows, has_more = first(health.refused().select_related("organisation"), most=_MOST_LISTED)
    return Table(
        title=gettext("Not looked at, and tried again"),
        columns=(
            gettext("Mailbox"),
            gettext("Work"),
            gettext("Since"),
            gettext("Next try"),
            gettext("Why"),
        ),
        rows=[
            Row(
                url=url_of(setback),
                cells=(
                    setback.name,
                    setback.work,
                    setback.failed_first_at,
                    setback.next_try_at,
                    setback.failure,
                ),
            )
            for setback in rows
        ],
        empty=gettext("The mail server answers for every mailbox."),
        has_more=has_more,
    )


def _due(at: datetime) -> Table:
    waiting = health.due(at).order_by("retention_due_at", "store_due_at", "pk")
    rows, has_more = first(waiting, most=_MOST_LISTED)
    return Table(
        title=gettext("Due"),
        columns=(gettext("Mailbox"), gettext("By its rules"), gettext("By its window")),
        rows=[
            Row(
                url=url_of(mailbox),
                cells=(
                    mailbox.address,
                    mailbox.retention_due_at or gettext("at once: new, or with new rules"),
                    mailbox.store_due_at or "",
                ),
            )
            for mailbox in rows
        ],
        empty=gettext("Nothing is due."),
        has_more=has_more,
    )


def _frozen() -> Table:
    frozen = Mailbox.objects.filter(frozen_at__isnull=False).order_by("frozen_at")
    rows, has_more = first(frozen.select_related("organisation"), most=_MOST_LISTED)
    return Table(
        title=gettext("Frozen by the tripwire"),
        columns=(gettext("Mailbox"), gettext("Organisation"), gettext("Since")),
        rows=[
            Row(url=url_of(m), cells=(m.address, m.organisation.name, m.frozen_at)) for m in rows
        ],
        empty=gettext("No mailbox is frozen."),
        has_more=has_more,
    )


def _holds() -> Table:
    standing = Hold.objects.standing().order_by("placed_at")
    people = standing.select_related(
        "organisation", "domain", "mailbox", "placed_by", "placed_by_key"
    )
    rows, has_more = first(people, most=_MOST_LISTED)
    return Table(
        title=gettext("Held"),
        columns=(
            gettext("Matter"),
            gettext("What is held"),
            gettext("Placed by"),
            gettext("Placed"),
        ),
        rows=[
            Row(
                url=url_of(hold),
                cells=(hold.matter, scope_text(hold), hold.placer_text, hold.placed_at),
            )
            for hold in rows
        ],
        empty=gettext("No hold stands."),
        has_more=has_more,
    )
