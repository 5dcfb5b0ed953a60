"""Making what has cooled off, by the same verbs that do it at once where nothing gets less safe."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import F

from accounts.access import system
from accounts.models import Organisation, on_clock_of
from mailstore import checking, holding, policy, provisioning, purging, rules, standing
from mailstore.cooling import changes, switches
from mailstore.cooling.changes import NotWaiting
from mailstore.engine import Engine, EngineError, RemovedSearch
from mailstore.models import Mailbox, PendingChange, Restriction

Kind = PendingChange.Kind
# Who makes a change that waited is the house, for whoever asked for it.
_HOUSE = system("cooling-off")


@dataclass(frozen=True, kw_only=True)
class _Means:
    """With what and when changes are made.

    `at` is by the clock of whose change it is, and `now` what time it really is: mail comes and
    goes by that one, also in a test organisation.
    """

    engine: Engine
    at: datetime
    now: datetime


def make_due(
    *,
    engine: Engine,
    at: datetime,
    among: Organisation | None = None,
    now: datetime | None = None,
    limit: int = 100,
) -> int:
    """Make the changes whose time has come; returns how many. What is stopped goes on waiting.

    Those of one test organisation by its clock, and `now` says what time it really is; or of all
    that live by the real one.
    """
    means = _Means(engine=engine, at=at, now=now or at)
    waiting = PendingChange.objects.waiting().filter(on_clock_of(among, "organisation__"))
    # What is stopped makes way for what was not tried for longer.
    turn = (F("stopped_at").asc(nulls_first=True), "effective_at", "pk")
    due = waiting.filter(effective_at__lte=at).order_by(*turn)
    people = due.select_related(
        "organisation__parent",
        "domain__organisation__parent",
        "mailbox__organisation__parent",
        "policy",
    )
    return sum(_make(change, means) for change in people[:limit])


def _make(change: PendingChange, means: _Means) -> bool:
    at = means.at
    try:
        with transaction.atomic():
            # In the order in which a change of plan takes the two, or they wait for each other.
            if change.mailbox is not None:
                _refuse_if_closed(holding.lock(change.mailbox))
            changes.end(change, PendingChange.State.MADE, ended_by=_HOUSE.name, at=at)
            _MAKERS[Kind(change.kind)](change, means)
            changes.record("change.made", change=change, actor=_HOUSE, at=at)
    except NotWaiting:
        return False
    except (holding.Stopped, purging.UnderWay, EngineError) as reason:
        PendingChange.objects.filter(pk=change.pk).update(failure=str(reason)[:300], stopped_at=at)
        return False
    except (policy.RuleRefused, provisioning.WrongState, standing.Refused) as refusal:
        with transaction.atomic():
            changes.end(change, PendingChange.State.FAILED, ended_by=_HOUSE.name, at=at)
            PendingChange.objects.filter(pk=change.pk).update(failure=str(refusal)[:300])
            changes.record("change.failed", change=change, actor=_HOUSE, at=at)
        return False
    return True


def _refuse_if_closed(mailbox: Mailbox) -> None:
    """Raise `provisioning.WrongState` where the address may lead to another mailbox by now."""
    if mailbox.state == Mailbox.State.CLOSED:
        message = f"{mailbox} is closed for good."
        raise provisioning.WrongState(message)


def _make_rule(change: PendingChange, means: _Means) -> None:
    target = change.mailbox or change.domain or change.policy or change.organisation
    what = change.what
    # What the mailboxes hold is another than when this was asked.
    if "days" not in what:
        checking.check_removal(
            target=target, folder=what["folder"], engine=means.engine, at=means.now
        )
        rules.remove_rule(actor=_HOUSE, target=target, folder=what["folder"], at=means.at)
        return
    rule = policy.Rule(
        folder=what["folder"],
        counted_from=policy.CountedFrom(what["counted_from"]),
        days=what["days"],
        floor_days=what["floor_days"],
        ceiling_days=what["ceiling_days"],
    )
    checking.check_rule(
        target=target,
        rule=rule,
        engine=means.engine,
        at=means.now,
        is_new_folder=what["is_new_folder"],
    )
    rules.set_rule(actor=_HOUSE, target=target, rule=rule, at=means.at)


def _make_window(change: PendingChange, means: _Means) -> None:
    mailbox = holding.lock(_mailbox(change))
    if mailbox.window_days != change.what["instead_of"]:
        message = (
            f"The time to bring mail back has become {mailbox.window_days} days meanwhile. "
            "Ask again if it is to be shorter."
        )
        raise policy.RuleRefused(message)
    switches.set_window(
        mailbox, window_days=change.what["window_days"], actor=_HOUSE, at=means.at, now=means.now
    )


def _empty_store(change: PendingChange, means: _Means) -> None:
    search = RemovedSearch(until=datetime.fromisoformat(change.what["until"]))
    purging.plan_for_good(
        actor=_HOUSE, mailbox=_mailbox(change), engine=means.engine, search=search, at=means.now
    )


def _destroy(change: PendingChange, means: _Means) -> None:
    chosen: dict[str, dict[int, str]] = {}
    for folder, uid, guid in change.what["messages"]:
        chosen.setdefault(folder, {})[uid] = guid
    purging.plan_chosen_for_good(
        actor=_HOUSE, mailbox=_mailbox(change), engine=means.engine, chosen=chosen, at=means.now
    )


def _close(change: PendingChange, means: _Means) -> None:
    mailbox = holding.lock(_mailbox(change))
    holding.refuse_if_kept(mailbox)
    grace = timedelta(seconds=change.what["grace_seconds"])
    provisioning.close(actor=_HOUSE, mailbox=mailbox, grace=grace, at=means.at, now=means.now)


def _close_all(change: PendingChange, means: _Means) -> None:
    standing.refuse_to_close(change.organisation)
    standing.impose(
        actor=_HOUSE,
        organisation=change.organisation,
        cause=Restriction.Cause.WISH,
        state=Restriction.State.CLOSED,
        # For mailboxes that a hold keeps from closing.
        stops={"sign_in": "shut", "receiving": "put_off", "sending": "shut"},
        reason=f"{change.asked_by} asked for it.",
        at=means.at,
        now=means.now,
    )


def _switch_tripwire_off(change: PendingChange, means: _Means) -> None:
    switches.set_tripwire(_mailbox(change), off_at=means.now, actor=_HOUSE, at=means.at)


def _set_thresholds(change: PendingChange, means: _Means) -> None:
    target = change.policy or _mailbox(change)
    switches.set_thresholds(target, **change.what, actor=_HOUSE, at=means.at)


def _make_plan(change: PendingChange, means: _Means) -> None:
    mailbox = holding.lock(_mailbox(change))
    holding.refuse_if_stopped(mailbox)
    switches.leave_former_policy(mailbox, actor=_HOUSE, at=means.at)
    if mailbox.window_days == change.what["instead_of"] != change.what["window_days"]:
        switches.set_window(
            mailbox,
            window_days=change.what["window_days"],
            actor=_HOUSE,
            at=means.at,
            now=means.now,
        )


_MAKERS: Mapping[Kind, Callable[[PendingChange, _Means], None]] = {
    Kind.RULE: _make_rule,
    Kind.WINDOW: _make_window,
    Kind.EMPTY_STORE: _empty_store,
    Kind.DESTROY: _destroy,
    Kind.CLOSE: _close,
    Kind.CLOSE_ALL: _close_all,
    Kind.TRIPWIRE: _switch_tripwire_off,
    Kind.THRESHOLDS: _set_thresholds,
    Kind.PLAN: _make_plan,
}


def _mailbox(change: PendingChange) -> Mailbox:
    if change.mailbox is None:
        raise NotWaiting
    return change.mailbox
