"""Letters and webhook deliveries that go out again."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from django.db.models import Model, QuerySet
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from accounts import notices
from accounts.access import Actor, Forbidden
from accounts.models import Notice
from hosting.bulk.deeds import MOST_SHOWN, Deed, Foreseen, Line
from hosting.models import BulkRequest, WebhookDelivery
from hosting.webhooks import endpoints


def _letters() -> QuerySet[Notice]:
    return Notice.objects.all()


def _deliveries() -> QuerySet[WebhookDelivery]:
    return WebhookDelivery.objects.select_related("endpoint__organisation__parent")


def _foresee_letters(request: BulkRequest, _at: datetime) -> Foreseen:
    unsent = _letters().filter(sent_at__isnull=True)
    return _foresee(
        request,
        _letters(),
        unsent,
        state=_letter_state,
        sentences=[
            gettext(
                "The relay is asked within a minute to take each letter for the same address. "
                "Whoever has it already gets it no second time."
            )
        ],
    )


def _letter_state(letter: Notice) -> str:
    if letter.sent_at:
        return gettext("Sent")
    return letter.failure or gettext("Waiting")


def _foresee_deliveries(request: BulkRequest, _at: datetime) -> Foreseen:
    ended = _deliveries().exclude(state=WebhookDelivery.State.WAITING)
    return _foresee(
        request,
        _deliveries(),
        ended.filter(endpoint__state="enabled"),
        state=lambda delivery: str(delivery.get_state_display()),
        sentences=[
            gettext(
                "Each is sent again with the same id and body, so a receiver that has it knows it."
            ),
            gettext("What goes to a disabled endpoint is left."),
        ],
    )


def _foresee(
    request: BulkRequest,
    rows: QuerySet[Any],
    able: QuerySet[Any],
    *,
    state: Callable[[Any], str],
    sentences: list[str],
) -> Foreseen:
    will = able.filter(pk__in=request.items.values("row_id")).count()
    items = list(request.items.order_by("id")[:MOST_SHOWN])
    keys = [item.row_id for item in items]
    found: dict[int, Model] = rows.in_bulk(keys)
    ready = set(able.filter(pk__in=keys).values_list("pk", flat=True))
    return Foreseen(
        will=will,
        wont=request.row_count - will,
        groups=[],
        owners=[],
        owner_count=0,
        sentences=sentences,
        lines=[
            Line(
                name=item.name,
                state=state(found[item.row_id]) if item.row_id in found else "",
                note=gettext("It goes out again.") if item.row_id in ready else gettext("Nothing."),
                is_done=item.row_id in ready,
            )
            for item in items
        ],
    )


def _send_letter(*, actor: Actor, row: Notice, what: Any, reason: str, at: datetime) -> None:
    notices.send_again(actor=actor, notice=row, at=at)


def _send_delivery(
    *, actor: Actor, row: WebhookDelivery, what: Any, reason: str, at: datetime
) -> None:
    endpoints.send_again(actor=actor, delivery=row, at=at)


DEEDS = (
    Deed(
        name="send_letters",
        label=_("Send letters again"),
        rows=_letters,
        permission="accounts.change_notice",
        explanation=_("Letters that the relay did not take are tried again now."),
        do=_send_letter,
        refusals=(notices.SentAlready, Forbidden),
        foresee=_foresee_letters,
    ),
    Deed(
        name="send_deliveries",
        label=_("Send webhook deliveries again"),
        rows=_deliveries,
        permission="hosting.change_webhookdelivery",
        explanation=_("What came to an end, whatever end, is sent again."),
        do=_send_delivery,
        refusals=(endpoints.WrongState, Forbidden),
        foresee=_foresee_deliveries,
    ),
)
