"""Forms about API keys."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts import keyring, keys
from accounts.models import Organisation
from hosting.forms.networks import NetworksField
from hosting.scopes import GROUPS, IN_WORDS

# So many organisations are boxes to tick; of more, the names are typed.
MOST_BOXES = 20
_MOST_TYPED = 100
OVERLAPS = (
    (0, gettext_lazy("At once")),
    (3600, gettext_lazy("In an hour")),
    (24 * 3600, gettext_lazy("In a day")),
    (7 * 24 * 3600, gettext_lazy("In a week")),
    (30 * 24 * 3600, gettext_lazy("In 30 days")),
)


class KeyForm(forms.Form):
    """A new key: who holds it, what it may do, for whom, from where and until when."""

    label = forms.CharField(
        label=gettext_lazy("Name"),
        max_length=keyring.LABEL_LENGTH,
        help_text=gettext_lazy("Of the program that will use it, such as “Web shop”."),
    )
    organisation = forms.ModelChoiceField(
        label=gettext_lazy("Belongs to"),
        queryset=Organisation.objects.none(),
        to_field_name="uuid",
        empty_label=None,
    )
    mode = forms.ChoiceField(
        label=gettext_lazy("Kind"),
        choices=[
            ("live", gettext_lazy("Live: real customers, real bills")),
            ("test", gettext_lazy("Test: sees only what was made for testing")),
        ],
        initial="live",
        widget=forms.RadioSelect,
    )
    everything = forms.BooleanField(
        label=gettext_lazy("Everything but holds"), required=False, initial=False
    )
    scopes = forms.MultipleChoiceField(choices=list(IN_WORDS.items()), required=False)
    networks = NetworksField()
    expires_on = forms.DateField(
        label=gettext_lazy("Works until the end of (UTC)"),
        required=False,
        widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"),
        help_text=gettext_lazy("Empty: until somebody revokes it."),
    )

    def __init__(
        self,
        *args: Any,
        owned: QuerySet[Organisation],
        below: QuerySet[Organisation],
        **kwargs: Any,
    ) -> None:
        """`owned` may hold the key, `below` are those for whom alone it can be made."""
        super().__init__(*args, **kwargs)
        holders = list(owned.order_by("name")[:_MOST_TYPED])
        holder_field = self.fields["organisation"]
        holder_field.queryset = owned  # type: ignore[attr-defined]
        if len(holders) == 1:
            holder_field.initial, holder_field.widget = holders[0].uuid, forms.HiddenInput()
        if all(_is_for_life(each) for each in holders):
            self.fields["mode"].widget = forms.HiddenInput()
        self.below = below
        self._offer(below)

    def _offer(self, below: QuerySet[Organisation]) -> None:
        shown = list(below.order_by("name")[: MOST_BOXES + 1])
        if not shown:
            return
        label = _("Only for these customers")
        if len(shown) <= MOST_BOXES:
            self.fields["only_for"] = forms.ModelMultipleChoiceField(
                label=label,
                queryset=below.order_by("name"),
                to_field_name="uuid",
                required=False,
                widget=forms.CheckboxSelectMultiple,
                help_text=_("None ticked: for you and all of them, new ones included."),
            )
        else:
            self.fields["only_for"] = forms.CharField(
                label=label,
                required=False,
                max_length=20_000,
                widget=forms.Textarea(attrs={"rows": 4}),
                help_text=_("Their names, one a line. Empty: for you and all of them."),
            )

    @property
    def scope_groups(self) -> list[tuple[object, list[tuple[str, object, bool]]]]:
        """Each group with name, words and whether it is ticked, for the page."""
        ticked = set(self["scopes"].value() or ())
        return [
            (label, [(scope, words, scope in ticked) for scope, words in scopes.items()])
            for label, scopes in GROUPS
        ]

    def clean_scopes(self) -> list[str]:
        """Those that were ticked; “everything” adds all but what must be ticked by name."""
        ticked = set(self.cleaned_data["scopes"])
        if self.cleaned_data.get("everything"):
            ticked |= set(keys.SCOPES) - keys.NEVER_BY_DEFAULT
        if not ticked:
            raise ValidationError(_("Choose at least one thing that the key may do."))
        return [scope for scope in keys.SCOPES if scope in ticked]

    def clean_only_for(self) -> list[Organisation]:
        """The organisations that were ticked or typed."""
        asked = self.cleaned_data["only_for"]
        return self._named(asked) if isinstance(asked, str) else list(asked)

    def _named(self, text: str) -> list[Organisation]:
        names = list(dict.fromkeys(name for line in text.splitlines() if (name := line.strip())))
        if len(names) > _MOST_TYPED:
            message = _("Name %(most)s at most, or none for all of them.")
            raise ValidationError(message % {"most": _MOST_TYPED})
        found = list(self.below.filter(name__in=names).order_by("name", "pk"))
        for name in names:
            count = sum(each.name == name for each in found)
            if count != 1:
                several = _("There are several customers named “%(name)s”.")
                message = several if count else _("There is no customer named “%(name)s”.")
                raise ValidationError(message % {"name": name[:120]})
        return found

    @property
    def expires_at(self) -> datetime | None:
        """The moment at which the last day is over."""
        last: date | None = self.cleaned_data["expires_on"]
        if last is None or last == date.max:
            return None
        return datetime.combine(last + timedelta(days=1), time(), tzinfo=UTC)


def _is_for_life(organisation: Organisation) -> bool:
    """Whether nothing for testing can lie below it, so that the question has one answer."""
    return organisation.kind == Organisation.Kind.CUSTOMER and not organisation.is_test


class RotateForm(forms.Form):
    """When the old key ceases to work."""

    overlap = forms.TypedChoiceField(
        label=gettext_lazy("The old key stops"),
        choices=OVERLAPS,
        coerce=int,
        initial=24 * 3600,
        widget=forms.RadioSelect,
        help_text=gettext_lazy("Until then both work, so that the program can change over."),
    )
