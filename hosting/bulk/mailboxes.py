"""What is done to many mailboxes, and what it would mean for their owners."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db.models import Count, QuerySet
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from accounts import alone
from accounts.access import Actor, Forbidden
from hosting import changing, clocks, comparing, limits, ordering, selling
from hosting.bulk import prices
from hosting.bulk.deeds import MOST_SHOWN, Deed, Foreseen, Line
from hosting.models import BulkRequest, Plan
from mailstore import cooling, holding, provisioning
from mailstore.models import Mailbox

_State = Mailbox.State
_OPEN = (_State.ACTIVE, _State.PENDING, _State.SUSPENDED)
_REFUSALS = (provisioning.WrongState, holding.Stopped, Forbidden)
_MOST_OWNERS = 10


def rows() -> QuerySet[Mailbox]:
    """Mailboxes with the tree above them, which every verb asks for."""
    return Mailbox.objects.select_related("organisation__parent", "domain")


def _chosen(request: BulkRequest) -> QuerySet[Mailbox]:
    return Mailbox.objects.filter(pk__in=request.items.values("row_id"))


def _foresee(
    request: BulkRequest,
    *,
    sources: Sequence[str],
    note: str,
    sentences: Sequence[str],
    notes: Mapping[int, str] | None = None,
    blocked: Mapping[int, str] | None = None,
) -> Foreseen:
    """What the states alone tell; a verb may still refuse a row, and then says why.

    `notes` say more of some rows, by their keys, and `blocked` why nothing follows for others.
    """
    notes, blocked = notes or {}, blocked or {}
    kinds = _chosen(request).values_list("state", "protocol").order_by("state", "protocol")
    able = _chosen(request).filter(state__in=sources).exclude(pk__in=blocked)
    owned = able.values("organisation")
    by_owner = owned.annotate(count=Count("pk")).order_by("-count", "organisation")
    largest = by_owner.values_list("organisation__name", "count")[:_MOST_OWNERS]
    will = able.count()
    return Foreseen(
        will=will,
        wont=request.row_count - will,
        groups=[
            (f"{Mailbox.Protocol(protocol).label}, {_State(state).label}", count)
            for state, protocol, count in kinds.annotate(count=Count("pk"))
        ],
        owners=list(largest),
        owner_count=owned.distinct().count(),
        sentences=sentences,
        lines=_lines(request, sources=sources, note=note, notes=notes, blocked=blocked),
    )


def _lines(
    request: BulkRequest,
    *,
    sources: Sequence[str],
    note: str,
    notes: Mapping[int, str],
    blocked: Mapping[int, str],
) -> list[Line]:
    items = list(request.items.order_by("id")[:MOST_SHOWN])
    found = Mailbox.objects.select_related("organisation").in_bulk([each.row_id for each in items])
    lines = []
    for item in items:
        mailbox = found.get(item.row_id)
        if mailbox is None:
            lines.append(Line(name=item.name, state="", note=gettext("It is gone."), is_done=False))
            continue
        is_able = mailbox.state in sources
        elsewhere = gettext("Nothing: it is not in a state for this.")
        lines.append(
            Line(
                name=f"{mailbox.address} ({mailbox.organisation.name})",
                state=str(mailbox.get_state_display()),
                note=blocked.get(item.row_id, notes.get(item.row_id, note))
                if is_able
                else elsewhere,
                is_done=is_able and item.row_id not in blocked,
            )
        )
    return lines


def _foresee_suspending(request: BulkRequest, _at: datetime) -> Foreseen:
    return _foresee(
        request,
        sources=(_State.ACTIVE, _State.PENDING),
        note=gettext("Nobody signs in any more."),
        sentences=[
            gettext("Open sessions end within seconds. Mail goes on arriving; nothing is removed."),
            gettext("Their contracts go on and are charged as before."),
        ],
    )


def _foresee_resuming(request: BulkRequest, _at: datetime) -> Foreseen:
    return _foresee(
        request,
        sources=(_State.SUSPENDED,),
        note=gettext("Its owner can sign in again."),
        sentences=[gettext("What arrived meanwhile is there. Nothing is charged for it.")],
    )


def _foresee_closing(request: BulkRequest, at: datetime) -> Foreseen:
    days = settings.CLOSING_GRACE.days
    kept = ngettext(
        "For %(days)s day more they can be opened again with all their mail; then they are erased.",
        "For %(days)s days more they can be opened again with all their mail; then they are "
        "erased.",
        days,
    )
    held = _chosen(request).filter(state__in=_OPEN, pk__in=holding.held().values("pk"))
    blocked = dict.fromkeys(
        held.values_list("pk", flat=True), gettext("Nothing: a hold stands on it.")
    )
    closing = _chosen(request).filter(state__in=_OPEN).exclude(pk__in=blocked)
    of_tests = {
        key: gettext("It is closed on %(at)s UTC by the clock of its test organisation.")
        % {"at": _minute(moment + settings.COOLING_OFF)}
        for key, moment in _moments_of_tests(closing).items()
    }
    return _foresee(
        request,
        sources=_OPEN,
        note=gettext("It is closed after the wait."),
        notes=of_tests,
        blocked=blocked,
        sentences=[
            *_stops(closing, at=at + settings.COOLING_OFF),
            kept % {"days": days},
            *prices.ending(closing, at=at),
        ],
    )


def _stops(closing: QuerySet[Mailbox], *, at: datetime) -> list[str]:
    """When they stop: at this moment, or by the clocks of test organisations."""
    found = []
    if closing.filter(organisation__is_test=False).exists():
        sentence = gettext(
            "On %(at)s UTC they stop receiving and signing in. Until then their owners, who are "
            "told, can call it off."
        )
        found.append(sentence % {"at": _minute(at)})
    if closing.filter(organisation__is_test=True).exists():
        found.append(gettext("Those of test organisations do so by their own clocks."))
    return found


def _moments_of_tests(mailboxes: QuerySet[Mailbox]) -> dict[int, datetime]:
    """The moment at which each of them is, by key, that belongs to a test organisation."""
    found = list(mailboxes.filter(organisation__is_test=True).select_related("organisation"))
    moments = clocks.moments(mailbox.organisation for mailbox in found)
    return {mailbox.pk: moments[mailbox.organisation_id] for mailbox in found}


def _minute(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M}"


def _foresee_reopening(request: BulkRequest, at: datetime) -> Foreseen:
    return _foresee(
        request,
        sources=(_State.CLOSING,),
        note=gettext("It is open again with all its mail."),
        sentences=[
            gettext("Their plans go on from now. What was not charged meanwhile stays so."),
        ],
    )


def _foresee_plan(request: BulkRequest, at: datetime) -> Foreseen:
    plan = Plan.objects.on_sale().filter(pk=request.what.get("plan", 0)).first()
    if plan is None:
        return _foresee(request, sources=_OPEN, note=gettext("Choose a plan first."), sentences=[])
    notes, blocked = _proposals(request, plan, at=at)
    moving = _chosen(request).filter(state__in=_OPEN).exclude(pk__in=blocked)
    return _foresee(
        request,
        sources=_OPEN,
        note=gettext("It goes over to %(plan)s.") % {"plan": plan.name},
        notes=notes,
        blocked=blocked,
        sentences=[
            gettext(
                "The price changes at once, to the second, and so does sign-in where the protocol "
                "changes. What makes mail less safe waits, and the owners are told."
            ),
            *prices.changing(moving, plan=plan, at=at),
        ],
    )


def _proposals(
    request: BulkRequest, plan: Plan, *, at: datetime
) -> tuple[dict[int, str], dict[int, str]]:
    """What it costs each, and why some cannot go over: exact, and so of a few only."""
    notes: dict[int, str] = {}
    blocked: dict[int, str] = {}
    if request.row_count > alone.at_most():
        return notes, blocked
    for mailbox in rows().filter(pk__in=request.items.values("row_id"), state__in=_OPEN):
        try:
            proposal = changing.propose(mailbox=mailbox, plan=plan, at=at)
        except comparing.REFUSALS as refusal:
            blocked[mailbox.pk] = str(refusal)
        else:
            notes[mailbox.pk] = _cost(proposal)
    return notes, blocked


def _cost(proposal: changing.Proposal) -> str:
    cost = gettext("This month %(month)s, a full month %(full)s.") % {
        "month": f"{proposal.this_month.before_text} → {proposal.this_month.after_text}",
        "full": f"{proposal.full_month.before_text} → {proposal.full_month.after_text}",
    }
    return f"{cost} {gettext('Some of it waits.')}" if proposal.settled.effect.waits else cost


def _suspend(*, actor: Actor, row: Mailbox, what: Any, reason: str, at: datetime) -> None:
    provisioning.suspend(actor=actor, mailbox=row, at=at)


def _resume(*, actor: Actor, row: Mailbox, what: Any, reason: str, at: datetime) -> None:
    provisioning.resume(actor=actor, mailbox=row, at=at)


def _reopen(*, actor: Actor, row: Mailbox, what: Any, reason: str, at: datetime) -> None:
    ordering.reopen(actor=actor, mailbox=row, at=at)


def _close(*, actor: Actor, row: Mailbox, what: Any, reason: str, at: datetime) -> None:
    grace, wait = settings.CLOSING_GRACE, settings.COOLING_OFF
    at = clocks.moment_for(row.organisation, at)
    cooling.ask_to_close(actor=actor, mailbox=row, grace=grace, wait=wait, at=at)


def _change_plan(
    *, actor: Actor, row: Mailbox, what: dict[str, Any], reason: str, at: datetime
) -> None:
    plan = Plan.objects.filter(pk=what.get("plan", 0)).first()
    if plan is None:
        message = gettext("The plan is gone.")
        raise selling.NotOnSale(message)
    changing.change(actor=actor, mailbox=row, plan=plan, wait=settings.COOLING_OFF, at=at)


_CHANGE = "mailstore.change_mailbox"
DEEDS = (
    Deed(
        name="suspend_mailboxes",
        label=_("Suspend mailboxes"),
        rows=rows,
        permission=_CHANGE,
        explanation=_("Nobody signs in to them until somebody resumes them."),
        do=_suspend,
        refusals=_REFUSALS,
        foresee=_foresee_suspending,
    ),
    Deed(
        name="resume_mailboxes",
        label=_("Resume mailboxes"),
        rows=rows,
        permission=_CHANGE,
        explanation=_("Whoever owns them can sign in again at once."),
        do=_resume,
        refusals=_REFUSALS,
        foresee=_foresee_resuming,
    ),
    Deed(
        name="close_mailboxes",
        label=_("Close mailboxes"),
        rows=rows,
        permission=_CHANGE,
        explanation=_("They stop receiving and signing in after a wait, and their contracts end."),
        do=_close,
        refusals=_REFUSALS,
        foresee=_foresee_closing,
        is_grave=True,
    ),
    Deed(
        name="reopen_mailboxes",
        label=_("Open closing mailboxes again"),
        rows=rows,
        permission=_CHANGE,
        explanation=_("What is closing, and not erased yet, is open again with all its mail."),
        do=_reopen,
        refusals=(*_REFUSALS, limits.LimitReached),
        foresee=_foresee_reopening,
    ),
    Deed(
        name="change_plan",
        label=_("Change the plan of mailboxes"),
        rows=rows,
        permission=_CHANGE,
        explanation=_("They go over to another plan, each by itself."),
        do=_change_plan,
        refusals=(*comparing.REFUSALS, Forbidden),
        foresee=_foresee_plan,
        is_grave=True,
        needs_plan=True,
    ),
)
