"""The nightly recount, and what of the meter it had to put right."""

from __future__ import annotations

from datetime import UTC, datetime

from django.contrib import admin
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from accounts.staff import ReadOnlyAdmin
from mailstore import quotas
from mailstore.models import Drift, Recount


@admin.register(Recount)
class RecountAdmin(ReadOnlyAdmin):
    """How many mailboxes were compared with the mail server, and when."""

    list_display = ("started_at", "finished_at", "looked_at", "unanswered")
    fields = ("started_at", "finished_at", "looked_at", "unanswered")


@admin.register(Drift)
class DriftAdmin(ReadOnlyAdmin):
    """Reports that were lost: what was noted meanwhile, what was true, and what is not charged."""

    list_display = ("username", "since_at", "until_at", "noted_text", "true_text", "charged_text")
    search_fields = ("username",)
    fields = ("username", "since_at", "until_at", "noted_text", "true_text", "charged_text")
    csv_columns = ("username", "since", "until", "noted_bytes", "true_bytes")

    @admin.display(description=_("since"))
    def since_at(self, drift: Drift) -> datetime:
        return datetime.fromtimestamp(drift.since, tz=UTC)

    @admin.display(description=_("put right"))
    def until_at(self, drift: Drift) -> datetime:
        return datetime.fromtimestamp(drift.until, tz=UTC)

    @admin.display(description=_("noted"))
    def noted_text(self, drift: Drift) -> str:
        return quotas.byte_text(drift.noted_bytes)

    @admin.display(description=_("true"))
    def true_text(self, drift: Drift) -> str:
        return quotas.byte_text(drift.true_bytes)

    @admin.display(description=_("charged meanwhile"))
    def charged_text(self, drift: Drift) -> str:
        lower = min(drift.noted_bytes, drift.true_bytes)
        return gettext("%(size)s, the lower of the two") % {"size": quotas.byte_text(lower)}
