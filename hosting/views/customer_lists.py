"""Customers as CSV: those that were searched for, and many to be opened at once."""

from __future__ import annotations

from typing import Any, cast
from uuid import UUID

from django import forms
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts.access import Actor, Forbidden
from accounts.models import Organisation, User
from hosting import customer_lists, importing, piecework, reselling, searching
from hosting.forms.customers import sellers_for
from hosting.models import CustomerImport
from hosting.searching import Wanted
from hosting.views import actor_of
from hosting.views.customers import may_open, must_sell

_MOST_BYTES = 2_000_000
_MOST_SHOWN = 100
_LATEST = 10


class ListForm(forms.Form):
    """One CSV file, or its text."""

    seller = forms.ModelChoiceField(
        label=gettext_lazy("Seller"),
        queryset=Organisation.objects.none(),
        to_field_name="uuid",
        empty_label=None,
    )
    file = forms.FileField(
        label=gettext_lazy("CSV file"), widget=forms.FileInput(attrs={"accept": ".csv"})
    )

    def __init__(self, *args: Any, actor: Actor, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        sellers = sellers_for(actor)
        field = self.fields["seller"]
        field.queryset = sellers  # type: ignore[attr-defined]
        first_two = sellers[:2]
        if len(first_two) == 1:
            field.initial = first_two[0].uuid
            field.widget = forms.HiddenInput()

    def clean_file(self) -> Any:
        """Keep its text; the lines are judged on the next page."""
        file = self.cleaned_data["file"]
        if file.size > _MOST_BYTES:
            raise ValidationError(_("The file has more than 2 MB. Bring it in parts."))
        try:
            self.cleaned_data["text"] = importing.decode(file.read())
            customer_lists.read(self.cleaned_data["text"])
        except importing.UnreadableList as refusal:
            raise ValidationError(_in_words(refusal.problem), code="unreadable") from refusal
        return file


@login_required
@require_safe
def export(request: HttpRequest) -> StreamingHttpResponse:
    """What was searched for, as a file that is made while it is sent."""
    actor = must_sell(actor_of(request))
    sees_money = searching.sees_money(actor)
    wanted = Wanted.of(request.GET.dict(), sees_money=sees_money)
    lines = customer_lists.lines(searching.found(actor, wanted), sees_money=sees_money)
    return StreamingHttpResponse(
        lines,
        content_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": 'attachment; filename="customers.csv"'},
    )


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def bring(request: HttpRequest) -> HttpResponse:
    """Take a list in; nothing is opened before somebody has looked at it."""
    actor = _opener(request)
    form = ListForm(request.POST or None, request.FILES or None, actor=actor)
    if request.method == "POST" and form.is_valid():
        try:
            listed = customer_lists.take_in(
                actor=actor,
                by=cast("User", request.user),
                seller=form.cleaned_data["seller"],
                file_name=form.cleaned_data["file"].name,
                text=form.cleaned_data["text"],
                at=timezone.now(),
            )
        except reselling.Refused as refusal:
            form.add_error(None, str(refusal))
        else:
            return redirect("customers:import_detail", uuid=listed.uuid)
    context = {
        "form": form,
        "columns": customer_lists.COLUMNS,
        "latest": list(_lists(actor).defer("content", "problems")[:_LATEST]),
    }
    status = 422 if form.errors else 200
    return render(request, "hosting/customer_import.html", context, status=status)


@login_required
@require_safe
def detail(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """What would happen, what happens, or what came of it; a fragment while it runs."""
    listed = _load(_opener(request), uuid)
    context = _context(listed)
    if request.htmx:  # type: ignore[attr-defined]
        return render(request, "hosting/_customer_import.html", context)
    return render(request, "hosting/customer_import_detail.html", context)


@login_required
@require_POST
def confirm(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Open all that can be opened."""
    actor = _opener(request)
    try:
        customer_lists.confirm(actor=actor, listed=_load(actor, uuid), at=timezone.now())
    except piecework.WrongState as refusal:
        messages.error(request, str(refusal))
    return redirect("customers:import_detail", uuid=uuid)


@login_required
@require_POST
def cancel(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Leave the list, or what is left of it."""
    actor = _opener(request)
    try:
        customer_lists.cancel(actor=actor, listed=_load(actor, uuid), at=timezone.now())
    except piecework.WrongState as refusal:
        messages.error(request, str(refusal))
    return redirect("customers:import_detail", uuid=uuid)


def _opener(request: HttpRequest) -> Actor:
    actor = must_sell(actor_of(request))
    if not may_open(actor):
        raise Forbidden
    return actor


def _lists(actor: Actor) -> Any:
    return CustomerImport.objects.filter(seller__in=sellers_for(actor)).order_by("-pk")


def _load(actor: Actor, uuid: UUID) -> CustomerImport:
    listed: CustomerImport = get_object_or_404(
        _lists(actor).select_related("seller", "created_by", "created_by_key"), uuid=uuid
    )
    return listed


def _context(listed: CustomerImport) -> dict[str, Any]:
    states = CustomerImport.State
    is_new = listed.state == states.CHECKED
    checked = customer_lists.preview(listed) if is_new else None
    problems = [p.as_data() for p in checked.problems] if checked else listed.problems
    return {
        "listed": listed,
        "is_new": is_new,
        "is_running": listed.state == states.RUNNING,
        "good_count": len(checked.rows) if checked else 0,
        "first_names": [row.opening.name for row in checked.rows[:5]] if checked else [],
        "problems": problems[:_MOST_SHOWN],
        "problem_count": len(problems),
        "url": reverse("customers:import_detail", args=[listed.uuid]),
    }


def _in_words(problem: importing.Problem) -> str:
    return _("Line %(line)s: %(message)s") % {"line": problem.line, "message": problem.message}
