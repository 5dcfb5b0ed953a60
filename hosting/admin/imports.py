"""Lists of mailboxes: upload, look at what would happen, start, watch."""

from __future__ import annotations

from collections import Counter
from typing import Any, cast

from django.contrib import admin
from django.core.exceptions import ValidationError
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from accounts.access import Actor, Capability
from accounts.models import User
from hosting import importing, quoting
from hosting.admin.lists import UploadedListAdmin, UploadForm, in_words
from hosting.importing import runs
from hosting.models import MailboxImport

_MOST_BYTES = 5_000_000


class MailboxesForm(UploadForm):
    """One list whose form is right; its lines are judged on the next page."""

    def clean_file(self) -> Any:
        """Keep its text."""
        file = self.cleaned_data["file"]
        if file.size > _MOST_BYTES:
            raise ValidationError(_("The file has more than 5 MB. Use the command."), code="large")
        try:
            self.cleaned_data["text"] = importing.decode(file.read())
            runs.read(self.cleaned_data["text"])
        except importing.UnreadableList as refusal:
            raise ValidationError(in_words(refusal.problem), code="unreadable") from refusal
        return file


@admin.register(MailboxImport)
class MailboxImportAdmin(UploadedListAdmin):
    """Uploading opens mailboxes in the end, so both rights are asked for."""

    list_display = ("file_name", "state", "row_count", "opened_count", "maker", "created_at")
    rights = ("hosting.add_mailboximport", "mailstore.add_mailbox")
    form_class = MailboxesForm
    upload_title = cast("str", _("Import mailboxes"))

    def upload_context(self) -> dict[str, Any]:
        return {"columns": importing.COLUMNS[:-1]}

    def take_in(self, request: HttpRequest, form: Any) -> MailboxImport:
        return runs.take_in(
            actor=self.actor(request),
            by=cast("User", request.user),
            file_name=form.cleaned_data["file"].name,
            text=form.cleaned_data["text"],
            at=timezone.now(),
        )

    def preview(self, request: HttpRequest, listed: Any) -> dict[str, Any]:
        actor = self.actor(request)
        checked = runs.preview(listed=listed, actor=actor)
        sold = [(row.domain.organisation, row.plan) for row in checked.rows]
        sees_money = actor.can_everywhere(Capability.SEE_BILLS)
        counts = Counter((row.domain.shown_name, row.plan.name) for row in checked.rows)
        return {
            "counts": [(domain, plan, n) for (domain, plan), n in sorted(counts.items())],
            "good_count": len(checked.rows),
            "problems": checked.problems,
            "totals": quoting.totals(sold, at=timezone.now()) if sees_money else (),
        }

    def confirm(self, actor: Actor, listed: Any) -> None:
        runs.confirm(actor=actor, listed=listed, at=timezone.now())

    def cancel(self, actor: Actor, listed: Any) -> None:
        runs.cancel(actor=actor, listed=listed, at=timezone.now())

    def result_text(self, listed: Any) -> str:
        count = listed.opened_count
        return ngettext("%(count)s mailbox opened", "%(count)s mailboxes opened", count) % {
            "count": count
        }
