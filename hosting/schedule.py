"""Every schedule of the house.

A sweep is due work found in the rows, so a late or double run does no harm.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from celery.schedules import BaseSchedule, crontab


def _run(task: str, when: timedelta | BaseSchedule, *, expires: timedelta) -> dict[str, Any]:
    """One entry. `expires` keeps a queue from growing while no worker runs."""
    return {"task": task, "schedule": when, "options": {"expires": int(expires.total_seconds())}}


def _every(task: str, **interval: int) -> dict[str, Any]:
    """An entry that is outdated as soon as the next one is queued."""
    return _run(task, timedelta(**interval), expires=timedelta(**interval))


SCHEDULE: dict[str, dict[str, Any]] = {
    "beat-pulse": _every("hosting.record_pulse", seconds=10),
    "provision-pending-mailboxes": _every("mailstore.provision_pending", seconds=10),
    "follow-switches": _every("mailstore.follow_switches", seconds=10),
    "watch-quotas": _every("mailstore.watch_quotas", seconds=5),
    "read-mail-log": _every("mailstore.read_mail_log", seconds=5),
    "note-retrievals": _every("mailstore.note_retrievals", seconds=30),
    "plan-due-purges": _every("mailstore.plan_due_purges", minutes=1),
    "run-purges": _every("mailstore.run_purges", seconds=30),
    "run-restores": _every("mailstore.run_restores", seconds=15),
    "sweep-fully": _every("mailstore.sweep_fully", minutes=1),
    "recount": _every("mailstore.recount", minutes=1),
    "make-due-changes": _every("mailstore.make_due_changes", minutes=1),
    "send-notices": _every("accounts.send_notices", seconds=15),
    "send-quota-warnings": _every("mailstore.send_quota_warnings", seconds=10),
    "end-grace-of-full-mailboxes": _every("mailstore.end_grace_of_full", seconds=30),
    "end-sessions-of-refused": _every("mailstore.end_due_sessions", seconds=10),
    "reload-mail-server-after-outage": _every("mailstore.reload_after_outage", seconds=5),
    "erase-closed-mailboxes": _every("mailstore.erase_closed", minutes=5),
    "end-contracts-of-closing": _every("hosting.end_contracts", minutes=1),
    "follow-standing": _every("hosting.follow_standing", seconds=30),
    "sweep-dunning": _every("hosting.sweep_dunning", minutes=1),
    "watch-spending": _every("hosting.watch_spending", minutes=15),
    "resume-imports": _every("hosting.resume_imports", seconds=30),
    "resume-bank-imports": _every("hosting.resume_bank_imports", seconds=30),
    "settle-bills": _every("hosting.settle_bills", minutes=5),
    "apply-provider-events": _every("hosting.apply_provider_events", seconds=30),
    "send-refunds": _every("hosting.send_refunds", seconds=30),
    # Every night of the first week: what could not be billed at once is when it can.
    "close-last-month": _run(
        "hosting.close_last_month",
        crontab(hour="2", minute="0", day_of_month="1-7"),
        expires=timedelta(hours=6),
    ),
    "forget-old-sessions": _run(
        "hosting.forget_expired_sessions",
        crontab(hour="3", minute="40"),
        expires=timedelta(seconds=3600),
    ),
}
