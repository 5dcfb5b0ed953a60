"""The history of sign-ins as staff see it, hour by hour."""

from __future__ import annotations

from django.contrib import admin
from django.utils.translation import gettext_lazy as _

from mailstore.admin.devices import credential_kind
from mailstore.admin.onlooking import OnlookingAdmin
from mailstore.models import SignIn


@admin.register(SignIn)
class SignInAdmin(OnlookingAdmin):
    """What one program did in one hour, and which tries failed."""

    list_display = ("mailbox", "hour_at", "outcome", "protocol", "signed_in_with", "sign_ins")
    personal_columns = ("address",)
    list_filter = ("outcome", "protocol")
    fields = (
        "mailbox",
        "hour_at",
        "outcome",
        "protocol",
        "signed_in_with",
        "address",
        "first_at",
        "last_at",
        "sign_ins",
        "without_tls",
        "ended",
        "fetched",
        "glanced",
        "removed",
        "session",
    )

    @admin.display(description=_("signed in with"))
    def signed_in_with(self, row: SignIn) -> str:
        return credential_kind(row.credential)
