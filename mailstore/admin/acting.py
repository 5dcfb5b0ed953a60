"""Acting on rows that nobody edits: from their list on several, or from the page of one."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, cast

from django import forms
from django.contrib import messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from accounts.staff import ReadOnlyAdmin
from mailstore.admin.tables import Table
from mailstore.engine import EngineError


class ConfirmForm(forms.Form):
    """Nothing but a yes."""


class ReasonForm(forms.Form):
    """Why something is done; it is kept with what was done."""

    reason = forms.CharField(
        label=_("Reason"), max_length=500, widget=forms.Textarea(attrs={"rows": 3, "cols": 60})
    )


class ActingAdmin(ReadOnlyAdmin):
    """Rows without a field to change, and what staff may do to them."""

    def has_act_permission(self, request: HttpRequest) -> bool:
        """Acting needs the right to change such rows, although no field can be changed."""
        return request.user.has_perm(f"{self.opts.app_label}.change_{self.opts.model_name}")

    def must_view(self, request: HttpRequest) -> None:
        """Raise `PermissionDenied` unless the person may look at such rows."""
        if not self.has_view_permission(request):
            raise PermissionDenied

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        """The page of one row offers what the list offers for several."""
        row = context["original"]
        whole = context | {
            "row_actions": self.row_actions(request, row),
            "checkbox_name": ACTION_CHECKBOX_NAME,
            "tables": self.tables(row),
        }
        return super().render_change_form(request, whole, *args, **kwargs)

    def tables(self, row: Any) -> list[Table]:
        """What the page of one row shows below its fields."""
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

    def carry_out(
        self,
        request: HttpRequest,
        form: forms.Form,
        rows: Iterable[Any],
        verb: Callable[[Any], object],
        *,
        refusals: tuple[type[Exception], ...],
        done_text: str,
    ) -> bool:
        """Call the verb for all rows or, if one refuses, for none; the form then says why."""
        chosen = list(rows)
        expected: tuple[type[Exception], ...] = (*refusals, EngineError)
        with transaction.atomic():
            for row in chosen:
                try:
                    verb(row)
                except expected as refusal:
                    form.add_error(None, f"{row}: {refusal_text(refusal)}")
            transaction.set_rollback(bool(form.errors))
        if form.errors:
            return False
        self.message_user(request, done_text % {"count": len(chosen)}, messages.SUCCESS)
        return True

    def ask(
        self,
        request: HttpRequest,
        queryset: QuerySet[Any],
        *,
        action: str,
        form: forms.Form,
        explanation: str,
    ) -> HttpResponse:
        """A page between choosing an action and doing it; it carries the choice along."""
        context = {
            "title": getattr(type(self), action).short_description,
            "action": action,
            "chosen": [(row.pk, self.line(row)) for row in queryset],
            "checkbox_name": ACTION_CHECKBOX_NAME,
            "form": form,
            "explanation": explanation,
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


def is_confirmed(request: HttpRequest) -> bool:
    """Whether the page that asks was answered."""
    return "confirmed" in request.POST


def refusal_text(refusal: Exception) -> str:
    """A refusal in words; what the mail server says itself helps nobody here."""
    if isinstance(refusal, EngineError):
        return gettext("The mail server cannot be reached. Try again in a minute.")
    return str(refusal)
