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
    "forget-moves": _every("mailstore.forget_moves", hours=1),
    "watch-devices": _every("mailstore.watch_devices", seconds=15),
    "tell-of-copies": _every("mailstore.tell_of_copies", hours=6),
    "forget-sign-ins": _every("mailstore.forget_sign_ins", hours=1),
    "watch-guessing": _every("mailstore.watch_guessing", seconds=30),
    "watch-domain-dns": _every("mailstore.watch_domain_dns", seconds=30),
    "note-retrievals": _every("mailstore.note_retrievals", seconds=30),
    "plan-due-purges": _every("mailstore.plan_due_purges", minutes=1),
    "run-purges": _every("mailstore.run_purges", seconds=30),
    "run-restores": _every("mailstore.run_restores", seconds=15),
    "sweep-fully": _every("mailstore.sweep_fully", minutes=1),
    "recount": _every("mailstore.recount", minutes=1),
    "make-due-changes": _every("mailstore.make_due_changes", minutes=1),
    "send-notices": _every("accounts.send_notices", seconds=15),
    "answer-reset-requests": _every("accounts.answer_reset_requests", seconds=15),
    "answer-sign-up-requests": _every("accounts.answer_sign_up_requests", seconds=15),
    "end-visits": _every("accounts.end_visits", minutes=1),
    "remind-of-lost-factors": _every("accounts.remind_of_lost_factors", minutes=10),
    "remove-lost-factors": _every("accounts.remove_lost_factors", minutes=1),
    "see-who-answers": _every("accounts.see_who_answers", minutes=5),
    "chain-events": _every("accounts.chain_events", seconds=10),
    "verify-events": _every("accounts.verify_events", minutes=1),
    "forget-origins": _every("accounts.forget_origins", minutes=10),
    "send-quota-warnings": _every("mailstore.send_quota_warnings", seconds=10),
    "end-grace-of-full-mailboxes": _every("mailstore.end_grace_of_full", seconds=30),
    "end-sessions-of-refused": _every("mailstore.end_due_sessions", seconds=10),
    "reload-mail-server-after-outage": _every("mailstore.reload_after_outage", seconds=5),
    "erase-closed-mailboxes": _every("mailstore.erase_closed", minutes=5),
    "end-contracts-of-closing": _every("hosting.end_contracts", minutes=1),
    "follow-standing": _every("hosting.follow_standing", seconds=30),
    "sweep-dunning": _every("hosting.sweep_dunning", minutes=1),
    "check-panel-hosts": _every("hosting.check_panel_hosts", seconds=30),
    "watch-spending": _every("hosting.watch_spending", minutes=15),
    "count-customers": _every("hosting.count_customers", minutes=2),
    "resume-imports": _every("hosting.resume_imports", seconds=30),
    "resume-customer-imports": _every("hosting.resume_customer_imports", seconds=30),
    "forget-lists": _every("hosting.forget_lists", hours=1),
    "write-exports": _every("hosting.write_exports", seconds=30),
    "forget-exports": _every("hosting.forget_exports", minutes=10),
    "resume-bulk": _every("hosting.resume_bulk", seconds=30),
    "resume-bank-imports": _every("hosting.resume_bank_imports", seconds=30),
    "settle-bills": _every("hosting.settle_bills", minutes=5),
    "apply-provider-events": _every("hosting.apply_provider_events", seconds=30),
    "send-refunds": _every("hosting.send_refunds", seconds=30),
    "send-webhooks": _every("hosting.send_webhooks", seconds=5),
    "forget-webhooks": _every("hosting.forget_webhooks", hours=1),
    "forget-answers": _every("hosting.forget_answers", hours=1),
    "forget-guessing": _every("mailstore.forget_guessing", hours=6),
    "advance-test-clocks": _every("hosting.advance_test_clocks", seconds=30),
    "write-checkpoint": _run(
        "accounts.write_checkpoint", crontab(hour="1", minute="10"), expires=timedelta(hours=6)
    ),
    # Every night: what could not be billed at once, or while no worker ran, is when it can.
    "close-months": _run(
        "hosting.close_months", crontab(hour="2", minute="0"), expires=timedelta(hours=6)
    ),
    "forget-old-sessions": _run(
        "hosting.forget_expired_sessions",
        crontab(hour="3", minute="40"),
        expires=timedelta(seconds=3600),
    ),
}
