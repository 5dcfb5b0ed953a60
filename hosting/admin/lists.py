"""Lists that staff upload: take a file in, look at what would happen, start, watch."""

from __future__ import annotations

from abc import ABCMeta, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, cast

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_POST, require_safe

from accounts.access import Actor
from accounts.staff import ReadOnlyAdmin, csv_line
from hosting import piecework
from hosting.models import UploadedList
from hosting.piecework import Problem, UnreadableList

_MOST_SHOWN = 200
_LONGEST_KEY = 18


class UploadForm(forms.Form):
    """One CSV file."""

    file = forms.FileField(label=_("CSV file"), widget=forms.FileInput(attrs={"accept": ".csv"}))


def in_words(problem: Problem) -> str:
    """A problem with its place, for the form of the file."""
    place = gettext("Line %(line)s: %(message)s")
    return place % {"line": problem.line, "message": problem.message}


class _Abstract(ABCMeta, forms.MediaDefiningClass):
    """Makes no page that lacks what its lists need."""


class UploadedListAdmin(ReadOnlyAdmin, metaclass=_Abstract):
    """The content of a list is shown nowhere: it is in the hands of who uploaded it.

    A subclass takes a form in, shows the preview and starts the work; its templates are
    `upload` and `preview`, in a folder of its model's name.
    """

    list_select_related: ClassVar[tuple[str, ...]] = ("created_by", "created_by_key")
    list_filter = ("state",)
    search_fields: ClassVar[tuple[str, ...]] = ("file_name",)
    # The rights that uploading needs, beside that to look.
    rights: Sequence[str] = ()
    form_class: type[UploadForm] = UploadForm
    upload_title: str = ""

    @abstractmethod
    def take_in(self, request: HttpRequest, form: Any) -> UploadedList:
        """Keep the list of a valid form; raises `UnreadableList`."""

    @abstractmethod
    def preview(self, request: HttpRequest, listed: Any) -> dict[str, Any]:
        """What the preview shows, with `good_count` and `problems`."""

    @abstractmethod
    def confirm(self, actor: Actor, listed: Any) -> None:
        """Start the work; raises `piecework.WrongState`."""

    @abstractmethod
    def cancel(self, actor: Actor, listed: Any) -> None:
        """Leave what is not done yet; raises `piecework.WrongState`."""

    @abstractmethod
    def result_text(self, listed: Any) -> str:
        """What came of it so far."""

    def upload_context(self) -> dict[str, Any]:
        """What the page with the form says beside it."""
        return {}

    def get_queryset(self, request: HttpRequest) -> Any:
        """A page of lists needs neither their text nor their problems."""
        return super().get_queryset(request).defer("content")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perms(self.rights)

    def get_urls(self) -> list[URLPattern]:
        wrap, name = self.admin_site.admin_view, f"{self.opts.app_label}_{self.opts.model_name}"
        views = {
            "start": require_POST(self.start_view),
            "cancel": require_POST(self.cancel_view),
            "progress": require_safe(self.progress_view),
            "problems": require_safe(self.problems_view),
        }
        own = [
            path(f"<int:pk>/{each}/", wrap(view), name=f"{name}_{each}")
            for each, view in views.items()
        ]
        return [*own, *super().get_urls()]

    def add_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Take a file in; nothing is done by that."""
        self._must_be_allowed(request)
        form = self.form_class(request.POST or None, request.FILES or None)
        if request.method == "POST" and form.is_valid():
            try:
                return self._to(self.take_in(request, form))
            except UnreadableList as refusal:
                form.add_error("file", in_words(refusal.problem))
        context = {"form": form, "title": self.upload_title, **self.upload_context()}
        return self._render(request, f"{self.opts.model_name}/upload", context)

    def change_view(
        self, request: HttpRequest, object_id: str, *args: Any, **kwargs: Any
    ) -> HttpResponse:
        """The preview, then the progress, then the result."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        if not (object_id.isascii() and object_id.isdigit() and len(object_id) <= _LONGEST_KEY):
            return self._back_to_list()
        listed = self._load(object_id)
        context = self._context(request, listed)
        if listed.state != UploadedList.State.CHECKED:
            return self._render(request, "uploadedlist/progress", context)
        found = self.preview(request, listed)
        problems = found.pop("problems")
        context |= {**found, "is_own": piecework.is_maker(self.actor(request), listed)}
        context |= {"problems": problems[:_MOST_SHOWN], "problem_count": len(problems)}
        return self._render(request, f"{self.opts.model_name}/preview", context)

    def start_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Start the work in the background."""
        self._must_be_allowed(request)
        listed = self._load(pk)
        try:
            self.confirm(self.actor(request), listed)
        except piecework.WrongState as refusal:
            self.message_user(request, str(refusal), messages.ERROR)
        return self._to(listed)

    def cancel_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Leave what is not done yet."""
        self._must_be_allowed(request)
        listed = self._load(pk)
        try:
            self.cancel(self.actor(request), listed)
        except piecework.WrongState as refusal:
            self.message_user(request, str(refusal), messages.ERROR)
        return self._to(listed)

    def progress_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """The part of the page that changes while the work goes on."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        rows = self.get_queryset(request).select_related("created_by", "created_by_key")
        context = self._context(request, get_object_or_404(rows, pk=pk))
        return self._render(request, "uploadedlist/_progress", context)

    def problems_view(self, request: HttpRequest, pk: int) -> HttpResponseBase:
        """Every problem as CSV, for whoever mends the list."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        problems = self._problems(request, self._load(pk))
        lines = [("line", "column", "message")]
        lines += [(str(each.line), each.column, each.message) for each in problems]
        return StreamingHttpResponse(
            (csv_line(cells) for cells in lines),
            content_type="text/csv; charset=utf-8",
            headers={"Content-Disposition": 'attachment; filename="problems.csv"'},
        )

    def _load(self, key: Any) -> Any:
        made = self.model.objects.select_related("created_by", "created_by_key")
        return get_object_or_404(made, pk=key)

    def _problems(self, request: HttpRequest, listed: UploadedList) -> list[Problem]:
        if listed.state == UploadedList.State.CHECKED:
            return cast("list[Problem]", self.preview(request, listed)["problems"])
        return [Problem(**each) for each in listed.problems]

    def _context(self, request: HttpRequest, listed: UploadedList) -> dict[str, Any]:
        return {
            "title": listed.file_name,
            "listed": listed,
            "is_running": listed.state == UploadedList.State.RUNNING,
            "result_text": self.result_text(listed),
            "problems": [Problem(**each) for each in listed.problems[:_MOST_SHOWN]],
            "problem_count": len(listed.problems),
            "may_act": self.has_add_permission(request),
        }

    def _must_be_allowed(self, request: HttpRequest) -> None:
        if not self.has_add_permission(request):
            raise PermissionDenied

    def _render(self, request: HttpRequest, name: str, context: dict[str, Any]) -> HttpResponse:
        whole = {**self.admin_site.each_context(request), "opts": self.opts, **context}
        template = f"admin/hosting/{name}.html"
        return cast("HttpResponse", TemplateResponse(request, template, whole))

    def _to(self, listed: UploadedList) -> HttpResponse:
        name = f"admin:{self.opts.app_label}_{self.opts.model_name}_change"
        return HttpResponseRedirect(reverse(name, args=(listed.pk,)))
