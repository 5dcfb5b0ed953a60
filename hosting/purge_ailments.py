"""What is wrong with purging, worst first, as the doctor says it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.conf import settings
from django.db.migrations.recorder import MigrationRecorder

from mailstore import health

_LONGEST_SINCE_SWEEP = 2 * settings.FULL_SWEEP_EVERY


@dataclass(frozen=True, kw_only=True)
class Wrong:
    """What is wrong, and what to do about it."""

    text: str
    remedy: str


def first(found: health.Health, *, at: datetime) -> Wrong | None:
    """The worst of what is wrong, or nothing."""
    return _stuck(found) or _late(found) or _unswept(found, at=at) or _untold(found)


def _stuck(found: health.Health) -> Wrong | None:
    if found.failed:
        run = found.failed[0]
        text = f"{len(found.failed)} purges or restores do not get on, such as that of "
        remedy = f"It says: {run.failure} See State of purging in the staff pages."
        return Wrong(text=f"{text}{run.mailbox}.", remedy=remedy)
    if found.refused:
        refused = health.refused()[0]
        text = f"The mail server does not say what is due in {found.refused} mailboxes, such as "
        remedy = f"It says: {refused.failure} See Work that fails for one of many."
        return Wrong(text=f"{text}{refused.name}.", remedy=remedy)
    return None


def _late(found: health.Health) -> Wrong | None:
    if not found.late and found.lag_minutes <= health.LATE.total_seconds() // 60:
        return None
    text = f"Purging is {found.lag_minutes} minutes behind, with {found.late} runs late."
    return Wrong(text=text, remedy="Is the worker busy or gone? See the check of the worker.")


def _unswept(found: health.Health, *, at: datetime) -> Wrong | None:
    last = found.last_sweep
    since = at - _LONGEST_SINCE_SWEEP
    remedy = "It is due every week. See the checks of worker and beat."
    if last is None:
        is_old = _installed_at() < since
        return Wrong(text="There was no full sweep yet.", remedy=remedy) if is_old else None
    if last.started_at < since:
        text = f"The last full sweep began on {last.started_at:%Y-%m-%d}."
        return Wrong(text=text, remedy=remedy)
    if last.missed:
        text = f"The full sweep of {last.started_at:%Y-%m-%d} found {last.missed} mailboxes "
        remedy = "It has put them right. Was the clock or the database set back? If not, report it."
        return Wrong(text=f"{text}that were due before their moment.", remedy=remedy)
    return None


def _installed_at() -> datetime:
    """When the database was made, by the clock of its machine."""
    made_at: datetime = MigrationRecorder.Migration.objects.earliest("applied").applied
    return made_at


def _untold(found: health.Health) -> Wrong | None:
    if not found.untold_alarms:
        return None
    text = f"The owners of {found.untold_alarms} frozen mailboxes have no address outside."
    remedy = "Call them: see Tripwire alarms in the staff pages."
    return Wrong(text=text, remedy=remedy)
