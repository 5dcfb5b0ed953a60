"""What is done to many organisations: stopped by staff, and set free again."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.db.models import Count, QuerySet
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from accounts.access import Actor, Forbidden
from accounts.models import Organisation
from hosting.bulk.deeds import MOST_SHOWN, Deed, Foreseen, Line
from hosting.models import BulkRequest
from mailstore import standing
from mailstore.models import Mailbox, Restriction

_STOPS = {"sign_in": "shut", "sending": "shut"}
_REFUSALS = (standing.Refused, Forbidden)
_MOST_OWNERS = 10
# Mailboxes are counted up to here, so that a page costs the same however many there are.
_MOST_COUNTED = 1_000


def rows() -> QuerySet[Organisation]:
    """Organisations with what stands above them."""
    return Organisation.objects.select_related("parent__parent")


def _foresee_stopping(request: BulkRequest, _at: datetime) -> Foreseen:
    return _foresee(
        request,
        stopped_is_done=False,
        sentences=[
            gettext(
                "Nobody signs in to their mailboxes and nothing is sent from them. New mail goes "
                "on arriving; nothing is removed. Their people can sign in to the panel, where "
                "they read your reason."
            ),
            gettext("Their contracts go on and are charged as before."),
        ],
        note=gettext("It is stopped by staff."),
        other=gettext("It is stopped by staff already; the new reason takes its place."),
    )


def _foresee_lifting(request: BulkRequest, _at: datetime) -> Foreseen:
    return _foresee(
        request,
        stopped_is_done=True,
        sentences=[
            gettext(
                "What staff stopped works again at once. Other causes, such as unpaid bills, stay."
            )
        ],
        note=gettext("What staff stopped works again."),
        other=gettext("Nothing: staff have not stopped it."),
    )


def _foresee(
    request: BulkRequest, *, stopped_is_done: bool, sentences: list[str], note: str, other: str
) -> Foreseen:
    keys = request.items.values("row_id")
    stopped = set(
        Restriction.objects.standing()
        .filter(organisation__in=keys, cause=Restriction.Cause.ABUSE)
        .values_list("organisation", flat=True)
    )
    live = Organisation.objects.filter(pk__in=keys).exclude(kind=Organisation.Kind.PROVIDER)
    if stopped_is_done:
        live = live.filter(pk__in=stopped)
    kinds = live.values_list("kind").order_by("kind").annotate(count=Count("pk"))
    counts = list(kinds)
    will = sum(count for _kind, count in counts)
    mailboxes = Mailbox.objects.standing().filter(organisation__in=live.values("pk"))
    found = mailboxes.order_by().values("pk")[: _MOST_COUNTED + 1].count()
    touched = f"{_MOST_COUNTED}+" if found > _MOST_COUNTED else str(found)
    sentence = gettext("Mailboxes that it reaches: %(count)s.") % {"count": touched}
    return Foreseen(
        will=will,
        wont=request.row_count - will,
        groups=[(str(Organisation.Kind(kind).label), count) for kind, count in counts],
        owners=[],
        owner_count=will,
        sentences=[sentence, *sentences],
        lines=_lines(
            request, stopped=stopped, stopped_is_done=stopped_is_done, note=note, other=other
        ),
    )


def _lines(
    request: BulkRequest, *, stopped: set[int], stopped_is_done: bool, note: str, other: str
) -> list[Line]:
    items = list(request.items.order_by("id")[:MOST_SHOWN])
    found: Mapping[int, Organisation] = Organisation.objects.in_bulk([e.row_id for e in items])
    lines = []
    for item in items:
        organisation = found.get(item.row_id)
        if organisation is None or organisation.kind == Organisation.Kind.PROVIDER:
            follows = gettext("Nothing: the house itself cannot be stopped.")
            lines.append(Line(name=item.name, state="", note=follows, is_done=False))
            continue
        is_usual = (organisation.pk in stopped) == stopped_is_done
        lines.append(
            Line(
                name=organisation.name,
                state=str(organisation.get_state_display()),
                note=note if is_usual else other,
                is_done=is_usual or not stopped_is_done,
            )
        )
    return lines


def _stop(*, actor: Actor, row: Organisation, what: Any, reason: str, at: datetime) -> None:
    standing.impose(
        actor=actor,
        organisation=row,
        cause=Restriction.Cause.ABUSE,
        state=Restriction.State.SUSPENDED,
        stops=_STOPS,
        reason=reason,
        at=at,
    )


def _lift(*, actor: Actor, row: Organisation, what: Any, reason: str, at: datetime) -> None:
    cause = Restriction.Cause.ABUSE
    standing.lift(actor=actor, organisation=row, cause=cause, reason=reason, at=at)


DEEDS = (
    Deed(
        name="stop_organisations",
        label=_("Stop organisations"),
        rows=rows,
        permission="mailstore.add_restriction",
        explanation=_("Nobody signs in to any of their mailboxes until staff let them go on."),
        do=_stop,
        refusals=_REFUSALS,
        foresee=_foresee_stopping,
        is_grave=True,
    ),
    Deed(
        name="lift_organisations",
        label=_("Let stopped organisations go on"),
        rows=rows,
        permission="mailstore.change_restriction",
        explanation=_("What staff stopped works again at once."),
        do=_lift,
        refusals=_REFUSALS,
        foresee=_foresee_lifting,
    ),
)
