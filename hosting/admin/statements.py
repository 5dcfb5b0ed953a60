"""Bank statements: upload, look at each line, record."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import date
from typing import Any, cast

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from accounts.access import Actor
from accounts.models import Organisation, User
from hosting import money
from hosting.admin.lists import UploadedListAdmin, UploadForm
from hosting.banking import runs, spelling, tables
from hosting.banking.clerk import Outcome, Verdict
from hosting.banking.statements import Form, Line
from hosting.models import BankImport
from hosting.piecework import Problem, UnreadableList

MOST_BYTES = 10_000_000
_MOST_SHOWN = 200
_FIND_OUT = ("", _("Find it out"))
_LABELS = {
    Outcome.MATCHED: _("Matched"),
    Outcome.UNMATCHED: _("Without a bill"),
    Outcome.KNOWN: _("Known"),
    Outcome.RETURNED: _("Taken back"),
    Outcome.NOTED: _("Noted"),
    Outcome.BAD: _("Not used"),
}


def _choices(known: Any) -> list[tuple[str, Any]]:
    return [_FIND_OUT, *known.items()]


class StatementForm(UploadForm):
    """A statement, whose account it is, and how it is written if that cannot be found out."""

    seller = forms.ModelChoiceField(
        label=_("Account of"),
        queryset=Organisation.objects.filter(kind=Organisation.Kind.RESELLER),
        required=False,
        empty_label=_("the house"),
    )
    account = forms.SlugField(
        label=_("Account"),
        max_length=60,
        help_text=_("Its IBAN or a name, always the same: lines of two accounts are kept apart."),
    )
    currency = forms.ChoiceField(
        label=_("Currency"),
        choices=money.CURRENCIES,
        help_text=_("Of lines that name none."),
    )
    encoding = forms.ChoiceField(
        label=_("Encoding"), choices=_choices(tables.ENCODINGS), required=False
    )
    delimiter = forms.ChoiceField(
        label=_("Between columns"), choices=_choices(tables.DELIMITERS), required=False
    )
    decimal = forms.ChoiceField(
        label=_("Decimal sign"), choices=_choices(spelling.DECIMAL_SIGNS), required=False
    )
    date_format = forms.ChoiceField(
        label=_("Days"), choices=_choices(spelling.DATES), required=False
    )

    def clean_file(self) -> Any:
        """Not more than can be read while somebody waits."""
        file = self.cleaned_data["file"]
        if file.size > MOST_BYTES:
            raise ValidationError(_("The file has more than 10 MB."), code="large")
        return file


@dataclass(frozen=True, kw_only=True)
class PreviewRow:
    """One line, and what would happen to it."""

    number: int
    label: str
    text: str
    day: date | None = None
    amount_text: str = ""
    payer: str = ""
    reference: str = ""


@admin.register(BankImport)
class BankImportAdmin(UploadedListAdmin):
    """Uploading records payments in the end, so both rights are asked for."""

    list_display = (
        "file_name",
        "account",
        "seller",
        "state",
        "row_count",
        "taken_count",
        "settled_count",
        "created_by",
        "created_at",
    )
    list_select_related = ("created_by", "seller")
    search_fields = ("file_name", "account")
    rights = ("hosting.add_bankimport", "hosting.add_payment")
    form_class = StatementForm
    upload_title = cast("str", _("Take in a bank statement"))

    def upload_context(self) -> dict[str, Any]:
        columns = tables.COLUMNS.items()
        return {"columns": [(names[0], ", ".join(names[1:])) for _name, names in columns]}

    def take_in(self, request: HttpRequest, form: Any) -> BankImport:
        asked = form.cleaned_data
        names = ("encoding", "delimiter", "decimal", "date_format")
        return runs.take_in(
            user=cast("User", request.user),
            file_name=asked["file"].name,
            content=asked["file"].read(),
            seller=asked["seller"],
            account=asked["account"],
            currency=asked["currency"],
            form=Form(**{name: asked[name] for name in names}),
            at=timezone.now(),
        )

    def preview(self, request: HttpRequest, listed: Any) -> dict[str, Any]:
        try:
            verdicts = runs.preview(listed=listed)
        except UnreadableList as refusal:
            # The rules for statements have changed since it was uploaded.
            return {"counts": [], "rows": [], "good_count": 0, "problems": [refusal.problem]}
        counts = Counter(verdict.outcome for verdict in verdicts)
        bad = [verdict for verdict in verdicts if verdict.outcome is Outcome.BAD]
        return {
            "counts": [(label, counts[outcome]) for outcome, label in _LABELS.items()],
            "rows": [_row(verdict) for verdict in verdicts[:_MOST_SHOWN]],
            "good_count": len(verdicts) - len(bad) - counts[Outcome.KNOWN],
            "form_text": _form_text(listed.form),
            "problems": [
                Problem(line=v.entry.line.number, column=v.column, message=v.text) for v in bad
            ],
        }

    def confirm(self, actor: Actor, listed: Any) -> None:
        runs.confirm(actor=actor, listed=listed, at=timezone.now())

    def cancel(self, actor: Actor, listed: Any) -> None:
        runs.cancel(actor=actor, listed=listed, at=timezone.now())

    def result_text(self, listed: Any) -> str:
        text = gettext("%(taken)s payments recorded, %(settled)s of them matched, %(known)s known")
        return text % {
            "taken": listed.taken_count,
            "settled": listed.settled_count,
            "known": listed.known_count,
        }


def _row(verdict: Verdict) -> PreviewRow:
    line, label = verdict.entry.line, str(_LABELS[verdict.outcome])
    if not isinstance(line, Line):
        return PreviewRow(number=line.number, label=label, text=verdict.text)
    return PreviewRow(
        number=line.number,
        label=label,
        text=verdict.text,
        day=line.day,
        amount_text=line.amount_text,
        payer=line.payer,
        reference=line.reference,
    )


def _form_text(form: dict[str, str]) -> str:
    """How the statement was read, so that a wrong guess is seen."""
    return gettext("Read as %(encoding)s; %(delimiter)s; %(decimal)s; days as %(day)s") % {
        "encoding": tables.ENCODINGS[form["encoding"]],
        "delimiter": tables.DELIMITERS[form["delimiter"]],
        "decimal": spelling.DECIMAL_SIGNS[form["decimal"]],
        "day": spelling.DATES[form["date_format"]],
    }
