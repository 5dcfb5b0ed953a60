"""Devices as staff see them: what signs in to a mailbox, from where, and shutting it out."""

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
from mailstore import credentials, devices
from mailstore.admin.acting import ConfirmForm, answer
from mailstore.admin.onlooking import OnlookingAdmin
from mailstore.admin.tables import Row, Table, first
from mailstore.engine import MAILBOX_PASSWORD
from mailstore.models import Device, Place


def credential_kind(credential: str) -> str:
    """What a program signs in with, without the name that its owner gave it."""
    if not credential:
        return gettext("Unknown")
    is_mailbox_password = credential == MAILBOX_PASSWORD
    return gettext("Mailbox password") if is_mailbox_password else gettext("App password")


@admin.register(Device)
class DeviceAdmin(OnlookingAdmin):
    """What programs sign in with, as the mail server's log tells it."""

    list_display = ("mailbox", "signs_in_with", "protocol", "first_at", "last_at", "sign_ins")
    personal_columns = ("last_address",)
    list_filter = ("protocol",)
    fields = (
        "mailbox",
        "signs_in_with",
        "protocol",
        "first_at",
        "last_at",
        "last_address",
        "sign_ins",
        "last_removed_at",
        "copies_kept_at",
        "uuid",
    )
    actions = ("end_sessions", "lock_out")

    @admin.display(description=_("signs in with"))
    def signs_in_with(self, device: Device) -> str:
        return credential_kind(device.credential)

    def line(self, row: Device) -> str:
        return f"{row.mailbox}: {self.signs_in_with(row)}, {row.get_protocol_display()}"

    def tables(self, row: Any) -> list[Table]:
        """From where it came, the last places first."""
        places, has_more = first(Place.objects.filter(device=row).order_by("-last_at", "-pk"))
        return [
            Table(
                title=gettext("Where it was seen"),
                columns=(
                    *(gettext("Network"), gettext("Last from"), gettext("First seen")),
                    *(gettext("Last seen"), gettext("Sign-ins"), gettext("State")),
                ),
                rows=[
                    Row(
                        cells=(
                            *(place.network, place.last_address, place.first_at, place.last_at),
                            *(place.sign_ins, place.get_state_display()),
                        )
                    )
                    for place in places
                ],
                empty=gettext("Nowhere."),
                has_more=has_more,
            )
        ]

    @admin.action(description=_("End the open sessions of the mailbox …"), permissions=["act"])
    def end_sessions(
        self, request: HttpRequest, queryset: QuerySet[Device]
    ) -> HttpResponseBase | None:
        """Throw out whoever is signed in to the mailboxes of these devices."""
        actor, at = self.actor(request), timezone.now()
        return self.ask_and_do(
            request,
            queryset,
            lambda each: credentials.end_sessions(actor=actor, mailbox=each.mailbox, at=at),
            action="end_sessions",
            form=ConfirmForm(answer(request)),
            refusals=(Forbidden,),
            explanation=gettext(
                "Whoever is signed in to these mailboxes is out within seconds. Programs with a "
                "good password come back by it."
            ),
            done_text=gettext("Devices whose mailboxes have no open session now: %(count)s."),
        )

    @admin.action(description=_("Lock out: it is nobody's …"), permissions=["act"])
    def lock_out(self, request: HttpRequest, queryset: QuerySet[Device]) -> HttpResponseBase | None:
        """The end of what they sign in with, as if their owners had said that it was not them."""
        actor, at = self.actor(request), timezone.now()
        return self.ask_and_do(
            request,
            queryset,
            lambda each: devices.lock_out(actor=actor, device=each, at=at),
            action="lock_out",
            form=ConfirmForm(answer(request)),
            refusals=(Forbidden,),
            explanation=gettext(
                "The app password of each is revoked, or the mailbox password removed, and open "
                "sessions end. Whatever else signs in by the same is shut out with it. Nothing "
                "takes that back: their owners make new ones."
            ),
            done_text=gettext("Devices that are locked out now: %(count)s."),
        )
