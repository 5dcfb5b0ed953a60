"""Alarms of the tripwire as staff see them: who removed how much, from where, and the answer."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from accounts.access import Forbidden
from mailstore import quotas, recovery, sign_ins, tripwire
from mailstore.admin.acting import ActingAdmin, ConfirmForm, answer
from mailstore.admin.restores import device_text
from mailstore.admin.tables import MOST_ROWS, Row, Table, url_of
from mailstore.engine import engine
from mailstore.models import Alarm

_REFUSALS = (
    tripwire.NothingToAnswer,
    recovery.NothingToRestore,
    recovery.NotEnoughSpace,
    recovery.RestoreUnderWay,
    Forbidden,
)


class AnswerFilter(admin.SimpleListFilter):
    """Alarms whose mailboxes are still frozen, and those that are over."""

    title = _("answer")
    parameter_name = "answer"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("waiting", _("Waits for an answer")), ("given", _("Answered"))]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        if self.value() == "waiting":
            return queryset.open()
        return queryset.exclude(answer="") if self.value() == "given" else queryset


@admin.register(Alarm)
class AlarmAdmin(ActingAdmin):
    """Mass deletions that were stopped."""

    list_display = (
        "mailbox",
        "at",
        "messages",
        "size_text",
        "reason",
        "answer",
        "answered_by",
        "answered_at",
    )
    list_select_related = ("mailbox__organisation__parent",)
    list_filter = (AnswerFilter,)
    indexed_filters = frozenset({"answer"})
    search_fields = ("mailbox__address", "reason", "answered_by")
    csv_columns = (
        "uuid",
        "mailbox__address",
        "at",
        "since",
        "messages",
        "bytes",
        "reason",
        "answer",
        "answered_by",
        "answered_at",
    )
    fields = (
        "mailbox",
        "reason",
        "messages",
        "size_text",
        "since",
        "at",
        "answer",
        "answered_by",
        "answered_at",
        "uuid",
    )
    actions = ("dismiss", "roll_back")

    @admin.display(description=_("size"))
    def size_text(self, alarm: Alarm) -> str:
        return quotas.byte_text(alarm.bytes)

    def is_offered(self, action: str, row: Alarm) -> bool:
        return row.answer == Alarm.Answer.WAITING

    def line(self, row: Alarm) -> str:
        return f"{row.mailbox}: {row.reason}"

    def tables(self, row: Alarm) -> list[Table]:
        found = tripwire.removals_behind(row, limit=MOST_ROWS + 1)
        devices = sign_ins.labels_of(row.mailbox)
        return [
            Table(
                title=gettext("What was removed, by whom and from where"),
                columns=(
                    gettext("Device"),
                    gettext("From"),
                    gettext("Protocol"),
                    gettext("Folder"),
                    gettext("Messages"),
                    gettext("Size"),
                    gettext("Began"),
                ),
                rows=[
                    Row(
                        url=url_of(removal),
                        cells=(
                            device_text(removal, devices=devices),
                            removal.address,
                            removal.service.upper(),
                            removal.folder,
                            removal.messages,
                            quotas.byte_text(removal.bytes),
                            removal.began_at,
                        ),
                    )
                    for removal in found[:MOST_ROWS]
                ],
                empty=gettext("The log of it is gone."),
                has_more=len(found) > MOST_ROWS,
            )
        ]

    @admin.action(description=_("Its owner did it: unlock …"), permissions=["act"])
    def dismiss(self, request: HttpRequest, queryset: QuerySet[Alarm]) -> HttpResponseBase | None:
        actor, at = self.actor(request), timezone.now()
        return self.ask_and_do(
            request,
            queryset,
            lambda alarm: tripwire.dismiss(actor=actor, alarm=alarm, at=at),
            action="dismiss",
            form=ConfirmForm(answer(request)),
            refusals=_REFUSALS,
            explanation=gettext(
                "People can sign in again and purges go on. Answer so only for an owner who "
                "said it."
            ),
            done_text=gettext("Mailboxes that are unlocked, with nothing else changed: %(count)s."),
        )

    @admin.action(description=_("Roll back and lock the devices out …"), permissions=["act"])
    def roll_back(self, request: HttpRequest, queryset: QuerySet[Alarm]) -> HttpResponseBase | None:
        actor, at = self.actor(request), timezone.now()
        return self.ask_and_do(
            request,
            queryset,
            lambda alarm: tripwire.roll_back(actor=actor, alarm=alarm, engine=engine(), at=at),
            action="roll_back",
            form=ConfirmForm(answer(request)),
            refusals=_REFUSALS,
            explanation=gettext(
                "Everything that was removed returns to its folder. The app passwords it was "
                "removed with are revoked; if it was the mailbox password, that one is taken "
                "away."
            ),
            done_text=gettext("Mailboxes that get back all that went: %(count)s."),
        )
