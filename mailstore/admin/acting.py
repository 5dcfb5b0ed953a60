"""Acting on rows that nobody edits: from their list on several, or from the page of one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

from django import forms
from django.contrib import messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, QueryDict
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from accounts import alone
from accounts.staff import ReadOnlyAdmin, StaffAdmin
from mailstore.admin.tables import Table
from mailstore.engine import EngineError


class ConfirmForm(forms.Form):
    """Nothing but a yes."""


class ReasonForm(forms.Form):
    """Why something is done; it is kept with what was done."""

    reason = forms.CharField(
        label=_("Reason"), max_length=500, widget=forms.Textarea(attrs={"rows": 3, "cols": 60})
    )


class Asking(StaffAdmin):
    """Actions that ask on a page of their own before anything is done."""

    def ask_and_do(
        self,
        request: HttpRequest,
        queryset: QuerySet[Any],
        verb: Callable[[Any], object],
        *,
        action: str,
        form: forms.Form,
        refusals: tuple[type[Exception], ...],
        explanation: str,
        done_text: str,
        foresee: Callable[[Sequence[Any]], list[Table]] | None = None,
    ) -> HttpResponse | None:
        """Ask with a form, then call the verb for all rows or, if one refuses, for none.

        The page that asks carries the choice along, and shows each refusal. With `foresee` it
        has a second button, which shows what would happen. Of more rows than one person changes
        alone, none is touched.
        """
        rows, refusals = list(queryset), (*refusals, EngineError)
        try:
            alone.must_be_few(len(rows))
        except alone.TooMany as refusal:
            self.message_user(request, str(refusal), messages.ERROR)
            return None
        foreseen: list[Table] = []
        if form.is_valid() and foresee is not None and "confirmed" not in request.POST:
            foreseen = _foreseen(rows, foresee, form=form, refusals=refusals)
        elif form.is_valid():
            _do_all(rows, verb, form=form, refusals=refusals, who=self.counted_as(request))
        if form.is_bound and not form.errors and not foreseen:
            self.message_user(request, done_text % {"count": len(rows)}, messages.SUCCESS)
            return None
        context = {
            "title": getattr(type(self), action).short_description,
            "action": action,
            "chosen": [(row.pk, self.line(row)) for row in rows],
            "checkbox_name": ACTION_CHECKBOX_NAME,
            "form": form,
            "explanation": explanation,
            "may_foresee": foresee is not None,
            "tables": foreseen,
        }
        return self.render(request, "ask", context)

    def line(self, row: Any) -> str:
        """A row in one line, for the page that asks."""
        return str(row)

    def render(self, request: HttpRequest, name: str, context: dict[str, Any]) -> HttpResponse:
        """One of the templates of mail, in the frame of the staff pages."""
        whole = {**self.admin_site.each_context(request), "opts": self.opts, **context}
        template = f"admin/mailstore/{name}.html"
        return cast("HttpResponse", TemplateResponse(request, template, whole))


class RowPages(Asking):
    """The page of one row offers what the list offers for several, and more about the row."""

    # Of this app also where the rows are of another one.
    change_form_template = "admin/mailstore/change_form.html"

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        """Add to the page of a row what it offers; a page for a new row has nothing to offer."""
        row = context.get("original")
        whole = dict(context)
        if row is not None:
            whole |= {
                "row_actions": self.row_actions(request, row),
                "row_links": self.links(request, row),
                "checkbox_name": ACTION_CHECKBOX_NAME,
                "tables": self.tables(row),
            }
        return super().render_change_form(request, whole, *args, **kwargs)

    def tables(self, row: Any) -> list[Table]:
        """What the page of one row shows below its fields."""
        return []

    def links(self, request: HttpRequest, row: Any) -> list[tuple[str, str]]:
        """Label and address of each page that the page of one row leads to."""
        return []

    def is_offered(self, action: str, row: Any) -> bool:
        """Whether the row is in a state in which the action makes sense."""
        return True

    def row_actions(self, request: HttpRequest, row: Any) -> list[tuple[str, str]]:
        """Name and label of each action for this row and this person."""
        allowed = [action for action in self.get_actions(request).values() if action]
        return [
            (name, str(label)) for _function, name, label in allowed if self.is_offered(name, row)
        ]


class ActingAdmin(RowPages, ReadOnlyAdmin):
    """Rows without a field to change, and what staff may do to them."""

    def has_act_permission(self, request: HttpRequest) -> bool:
        """Acting needs the right to change such rows, although no field can be changed."""
        return request.user.has_perm(f"{self.opts.app_label}.change_{self.opts.model_name}")

    def must_view(self, request: HttpRequest) -> None:
        """Raise `PermissionDenied` unless the person may look at such rows."""
        if not self.has_view_permission(request):
            raise PermissionDenied


def answer(request: HttpRequest) -> QueryDict | None:
    """What the page that asks sent back, or None before it was shown."""
    return request.POST if {"confirmed", "foresee"} & set(request.POST) else None


def _foreseen(
    rows: Sequence[Any],
    foresee: Callable[[Sequence[Any]], list[Table]],
    *,
    form: forms.Form,
    refusals: tuple[type[Exception], ...],
) -> list[Table]:
    try:
        return foresee(rows)
    except refusals as refusal:
        form.add_error(None, refusal_text(refusal))
        return []


def _do_all(
    rows: Sequence[Any],
    verb: Callable[[Any], object],
    *,
    form: forms.Form,
    refusals: tuple[type[Exception], ...],
    who: str,
) -> None:
    at = timezone.now()
    try:
        alone.take(who=who, count=len(rows), at=at)
    except alone.TooMany as refusal:
        form.add_error(None, str(refusal))
        return
    with transaction.atomic():
        for row in rows:
            try:
                verb(row)
            except refusals as refusal:
                form.add_error(None, f"{row}: {refusal_text(refusal)}")
        transaction.set_rollback(bool(form.errors))
    if form.errors:
        alone.give_back(who=who, count=len(rows), at=at)


def refusal_text(refusal: Exception) -> str:
    """A refusal in words; what the mail server says itself helps nobody here."""
    if isinstance(refusal, EngineError):
        return gettext("The mail server cannot be reached. Try again in a minute.")
    return str(refusal)
