"""Lists of mailboxes: upload, look at what would happen, start, watch."""

from __future__ import annotations

from collections import Counter
from typing import Any, cast

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_POST, require_safe

from accounts.models import User
from accounts.staff import ReadOnlyAdmin, csv_line
from hosting import importing
from hosting.importing import Problem, runs
from hosting.models import MailboxImport

_MOST_BYTES = 5_000_000
_MOST_SHOWN = 200


class UploadForm(forms.Form):
    """One CSV file."""

    file = forms.FileField(label=_("CSV file"), widget=forms.FileInput(attrs={"accept": ".csv"}))

    def clean_file(self) -> Any:
        """A list whose form is right; its lines are judged on the next page."""
        file = self.cleaned_data["file"]
        if file.size > _MOST_BYTES:
            raise ValidationError(_("The file has more than 5 MB. Use the command."), code="large")
        try:
            self.cleaned_data["text"] = importing.decode(file.read())
            runs.read(self.cleaned_data["text"])
        except importing.UnreadableList as refusal:
            problem = refusal.problem
            place = gettext("Line %(line)s: %(message)s")
            values = {"line": problem.line, "message": problem.message}
            raise ValidationError(place % values, code="unreadable") from refusal
        return file


@admin.register(MailboxImport)
class MailboxImportAdmin(ReadOnlyAdmin):
    """The content of a list is shown nowhere: it is in the hands of who uploaded it."""

    list_display = ("file_name", "state", "row_count", "opened_count", "created_by", "created_at")
    list_select_related = ("created_by",)
    list_filter = ("state",)
    search_fields = ("file_name",)

    def get_queryset(self, request: HttpRequest) -> Any:
        """A page of lists needs neither their text nor their problems."""
        return super().get_queryset(request).defer("content")

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Uploading opens mailboxes in the end, so both rights are asked for."""
        wanted = ("hosting.add_mailboximport", "mailstore.add_mailbox")
        return request.user.has_perms(wanted)

    def get_urls(self) -> list[URLPattern]:
        wrap, name = self.admin_site.admin_view, "hosting_mailboximport"
        return [
            path("<int:pk>/start/", wrap(require_POST(self.start_view)), name=f"{name}_start"),
            path("<int:pk>/cancel/", wrap(require_POST(self.cancel_view)), name=f"{name}_cancel"),
            path(
                "<int:pk>/progress/",
                wrap(require_safe(self.progress_view)),
                name=f"{name}_progress",
            ),
            path(
                "<int:pk>/problems/",
                wrap(require_safe(self.problems_view)),
                name=f"{name}_problems",
            ),
            *super().get_urls(),
        ]

    def add_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Take a file in; nothing is opened by that."""
        self._must_be_allowed(request)
        form = UploadForm(request.POST or None, request.FILES or None)
        if request.method == "POST" and form.is_valid():
            listed = runs.take_in(
                user=cast("User", request.user),
                file_name=form.cleaned_data["file"].name,
                text=form.cleaned_data["text"],
                at=timezone.now(),
            )
            return _to(listed)
        context = {
            "form": form,
            "title": gettext("Import mailboxes"),
            "columns": importing.COLUMNS[:-1],
        }
        return self._render(request, "upload", context)

    def change_view(
        self, request: HttpRequest, object_id: str, *args: Any, **kwargs: Any
    ) -> HttpResponse:
        """The preview, then the progress, then the result."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        if not object_id.isascii() or not object_id.isdigit() or len(object_id) > 18:  # noqa: PLR2004  # the longest key
            return HttpResponseRedirect(reverse("admin:hosting_mailboximport_changelist"))
        listed = get_object_or_404(MailboxImport.objects.select_related("created_by"), pk=object_id)
        context = self._context(request, listed)
        if listed.state == MailboxImport.State.CHECKED:
            return self._render(request, "preview", context | self._preview(request, listed))
        return self._render(request, "progress", context)

    def start_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Start the work in the background."""
        self._must_be_allowed(request)
        listed = get_object_or_404(MailboxImport, pk=pk)
        try:
            runs.confirm(actor=self.actor(request), listed=listed)
        except runs.WrongState as refusal:
            self.message_user(request, str(refusal), messages.ERROR)
        return _to(listed)

    def cancel_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Leave what is not done yet."""
        self._must_be_allowed(request)
        listed = get_object_or_404(MailboxImport, pk=pk)
        try:
            runs.cancel(listed=listed)
        except runs.WrongState as refusal:
            self.message_user(request, str(refusal), messages.ERROR)
        return _to(listed)

    def progress_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """The part of the page that changes while the work goes on."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        listed = get_object_or_404(self.get_queryset(request).select_related("created_by"), pk=pk)
        return self._render(request, "_progress", self._context(request, listed))

    def problems_view(self, request: HttpRequest, pk: int) -> HttpResponseBase:
        """Every problem as CSV, for whoever mends the list."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        listed = get_object_or_404(MailboxImport.objects.select_related("created_by"), pk=pk)
        problems = self._problems(request, listed)
        lines = [("line", "column", "message")]
        lines += [(str(each.line), each.column, each.message) for each in problems]
        return StreamingHttpResponse(
            (csv_line(cells) for cells in lines),
            content_type="text/csv; charset=utf-8",
            headers={"Content-Disposition": 'attachment; filename="problems.csv"'},
        )

    def _problems(self, request: HttpRequest, listed: MailboxImport) -> list[Problem]:
        if listed.state == MailboxImport.State.CHECKED:
            return runs.preview(listed=listed, actor=self.actor(request)).problems
        return [Problem(**each) for each in listed.problems]

    def _preview(self, request: HttpRequest, listed: MailboxImport) -> dict[str, Any]:
        checked = runs.preview(listed=listed, actor=self.actor(request))
        counts = Counter((row.domain.shown_name, row.plan.name) for row in checked.rows)
        return {
            "counts": [(domain, plan, n) for (domain, plan), n in sorted(counts.items())],
            "good_count": len(checked.rows),
            "problems": checked.problems[:_MOST_SHOWN],
            "problem_count": len(checked.problems),
            "is_own": listed.created_by_id == request.user.pk,
        }

    def _context(self, request: HttpRequest, listed: MailboxImport) -> dict[str, Any]:
        return {
            "title": listed.file_name,
            "listed": listed,
            "is_running": listed.state == MailboxImport.State.RUNNING,
            "problems": [Problem(**each) for each in listed.problems[:_MOST_SHOWN]],
            "problem_count": len(listed.problems),
            "may_act": self.has_add_permission(request),
        }

    def _must_be_allowed(self, request: HttpRequest) -> None:
        if not self.has_add_permission(request):
            raise PermissionDenied

    def _render(self, request: HttpRequest, name: str, context: dict[str, Any]) -> HttpResponse:
        whole = {**self.admin_site.each_context(request), "opts": self.opts, **context}
        template = f"admin/hosting/mailboximport/{name}.html"
        return cast("HttpResponse", TemplateResponse(request, template, whole))


def _to(listed: MailboxImport) -> HttpResponse:
    return HttpResponseRedirect(reverse("admin:hosting_mailboximport_change", args=(listed.pk,)))
