"""Forms of the customer's pages. What an address may look like is decided below, in `mailstore`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.utils.translation import gettext_lazy as _

from accounts import second_factor
from accounts.access import Actor
from accounts.forms import CodeForm
from accounts.models import Organisation, User
from hosting.models import Plan
from hosting.models.plans import GIGABYTE
from mailstore.addresses import ADDRESS_OCTETS
from mailstore.engine import RemovedSearch
from mailstore.models import Domain, Mailbox
from mailstore.policy import LONGEST_DAYS, CountedFrom, Rule
from mailstore.quotas import byte_text

HIGHEST_GIGABYTES = 100_000


class EstimateForm(forms.Form):
    """What somebody needs, in two numbers."""

    gb = forms.IntegerField(min_value=0, max_value=50)
    devices = forms.IntegerField(min_value=1, max_value=10)


class OrderForm(forms.Form):
    """One new mailbox."""

    domain = forms.ModelChoiceField(
        label=_("Domain"),
        queryset=Domain.objects.none(),
        to_field_name="name",
        empty_label=None,
    )
    # Nothing is stripped: every door gives the same verdict on the same text.
    local_part = forms.CharField(
        label=_("Name before the @"),
        strip=False,
        max_length=200,
        help_text=_("Letters a to z, digits, dot, hyphen and underscore."),
        widget=forms.TextInput(attrs={"autocomplete": "off", "autocapitalize": "none"}),
    )
    protocol = forms.ChoiceField(
        label=_("POP or IMAP"),
        choices=Mailbox.Protocol.choices,
        widget=forms.RadioSelect,
    )
    # Only what can be kept here can be limited; a plan with one limit leaves nothing to choose.
    space = forms.TypedChoiceField(
        label=_("Space"),
        required=False,
        coerce=int,
        empty_value=None,
        help_text=_("A limit, not a price: you pay for what you keep, and can change it any time."),
    )
    label = forms.CharField(
        label=_("Note"),
        required=False,
        max_length=120,
        help_text=_("Optional and for you only, for example who uses it."),
    )
    device = forms.CharField(
        label=_("First device"),
        required=False,
        max_length=80,
        help_text=_("Its app password is made at once, and shown on the next page."),
        widget=forms.TextInput(attrs={"placeholder": _("Phone, laptop…")}),
    )

    def __init__(self, *args: Any, actor: Actor, plans: Mapping[str, Plan], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.plans = plans
        domains = Domain.objects.visible_to(actor).confirmed().order_by("name")
        self.fields["domain"].queryset = domains.select_related("organisation__parent")  # type: ignore[attr-defined]
        self.fields["space"].choices = limits(plans.get("imap"))  # type: ignore[attr-defined]

    def clean_protocol(self) -> Plan:
        """The plan on sale for the protocol."""
        plan = self.plans.get(self.cleaned_data["protocol"])
        if plan is None:
            raise ValidationError(_("This is not on sale at the moment."), code="not_on_sale")
        return plan

    @property
    def quota_bytes(self) -> int | None:
        """The limit that was chosen, or nothing where the plan decides."""
        is_imap = self.cleaned_data["protocol"].protocol == Mailbox.Protocol.IMAP
        chosen: int | None = self.cleaned_data["space"]
        return chosen if is_imap else None


def limits(plan: Plan | None) -> list[tuple[int, str]]:
    """The limits a plan can begin with: its first one, then doubled as far as it goes."""
    if plan is None:
        return []
    steps = [plan.quota_bytes]
    while steps[-1] * 2 < plan.ceiling_bytes:
        steps.append(steps[-1] * 2)
    if plan.ceiling_bytes > steps[-1]:
        steps.append(plan.ceiling_bytes)
    return [(step, byte_text(step)) for step in steps]


class DomainForm(forms.Form):
    """A domain to add."""

    name = forms.CharField(
        label=_("Domain"),
        strip=False,
        max_length=ADDRESS_OCTETS,
        help_text=_("For example example.com, without www."),
        widget=forms.TextInput(attrs={"autocomplete": "off", "autocapitalize": "none"}),
    )
    organisation = forms.ModelChoiceField(
        label=_("Owner"),
        queryset=Organisation.objects.none(),
        to_field_name="uuid",
        empty_label=None,
    )

    def __init__(self, *args: Any, actor: Actor, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        owners = Organisation.objects.visible_to(actor).select_related("parent").order_by("pk")
        field = self.fields["organisation"]
        field.queryset = owners  # type: ignore[attr-defined]
        first_two = owners[:2]
        if len(first_two) == 1:
            field.initial = first_two[0].uuid
            field.widget = forms.HiddenInput()


class AppPasswordForm(forms.Form):
    """A secret for one device."""

    label = forms.CharField(
        label=_("Device"),
        max_length=80,
        help_text=_("So that you know later which one it is, for example “Phone”."),
    )
    protocols = forms.MultipleChoiceField(
        label=_("Good for"),
        choices=Mailbox.Protocol.choices,
        initial=Mailbox.Protocol.values,
        help_text=_("What the mailbox has not bought stays shut either way."),
        error_messages={"required": _("Choose at least one protocol.")},
        widget=forms.CheckboxSelectMultiple,
    )


class MailboxPasswordForm(forms.Form):
    """An optional password that a person chooses."""

    password = forms.CharField(
        label=_("Mailbox password"),
        strip=False,
        required=False,
        min_length=10,
        max_length=200,
        help_text=_("At least 10 characters. Leave empty to allow app passwords only."),
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
    )


class QuotaForm(forms.Form):
    """The limit in gigabytes of 10^9 bytes."""

    gigabytes = forms.DecimalField(
        label=_("Limit in GB"),
        max_digits=12,
        decimal_places=9,
        validators=[MinValueValidator(0), MaxValueValidator(HIGHEST_GIGABYTES)],
        help_text=_("1 GB is 1,000,000,000 bytes."),
    )

    @property
    def quota_bytes(self) -> int:
        """The limit in bytes."""
        return int(self.cleaned_data["gigabytes"] * GIGABYTE)


class CloseForm(forms.Form):
    """A closing is confirmed by typing the address."""

    address = forms.CharField(
        label=_("Type the address to confirm"),
        max_length=ADDRESS_OCTETS,
        widget=forms.TextInput(attrs={"autocomplete": "off", "autocapitalize": "none"}),
    )

    def __init__(self, *args: Any, mailbox: Mailbox, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.mailbox = mailbox

    def clean_address(self) -> str:
        """Only the address itself will do."""
        typed: str = self.cleaned_data["address"]
        if typed.lower() != self.mailbox.address:
            raise ValidationError(_("This is not the address of this mailbox."), code="differs")
        return typed


class CloseAllForm(forms.Form):
    """The closing of an organisation is confirmed by typing its name."""

    name = forms.CharField(
        label=_("Type the name of the organisation to confirm"),
        max_length=120,
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )

    def __init__(self, *args: Any, organisation: Organisation, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.organisation = organisation

    def clean_name(self) -> str:
        """Only the name itself will do."""
        typed: str = self.cleaned_data["name"]
        if typed.casefold() != self.organisation.name.casefold():
            raise ValidationError(_("This is not its name."), code="differs")
        return typed


class ProofForm(forms.Form):
    """Something that cannot be undone: the address is typed, and the panel's password again."""

    address = forms.CharField(
        label=_("Type the address to confirm"),
        max_length=ADDRESS_OCTETS,
        widget=forms.TextInput(attrs={"autocomplete": "off", "autocapitalize": "none"}),
    )
    password = forms.CharField(
        label=_("Your password for this panel"),
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "current-password"}),
    )

    def __init__(self, *args: Any, mailbox: Mailbox, user: User, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.mailbox = mailbox
        self.user = user
        # Who has a second factor proves it here as well, or a stolen password would do.
        if second_factor.confirmed_device(user) is not None:
            self.fields["code"] = CodeForm().fields["code"]
            self.fields["code"].widget.attrs.pop("autofocus")

    def clean_address(self) -> str:
        """Only the address itself will do."""
        typed: str = self.cleaned_data["address"]
        if typed.lower() != self.mailbox.address:
            raise ValidationError(_("This is not the address of this mailbox."), code="differs")
        return typed

    def clean(self) -> None:
        """A code works once, so it is used up only where the rest is right."""
        super().clean()
        code = self.cleaned_data.get("code")
        if code and not self.errors and not second_factor.proves(self.user, code=code):
            text = _("This code is not right. Codes change every 30 seconds and work once.")
            self.add_error("code", ValidationError(text, code="wrong_code"))

    def clean_password(self) -> str:
        """Who sits here is who signed in."""
        password: str = self.cleaned_data["password"]
        if not self.user.check_password(password):
            raise ValidationError(_("This is not your password."), code="wrong_password")
        return password


class RemovedSearchForm(forms.Form):
    """What to look for among removed mail."""

    subject = forms.CharField(label=_("Subject"), required=False, max_length=200)
    sender = forms.CharField(label=_("From"), required=False, max_length=200)
    folder = forms.CharField(label=_("Folder"), required=False, max_length=255)
    since = forms.DateTimeField(
        label=_("Removed since (UTC)"),
        required=False,
        widget=forms.DateTimeInput(attrs={"type": "datetime-local"}, format="%Y-%m-%dT%H:%M"),
    )

    @property
    def search(self) -> RemovedSearch:
        """The search, of what was filled in well."""
        asked = getattr(self, "cleaned_data", {})
        return RemovedSearch(
            subject=asked.get("subject") or "",
            sender=asked.get("sender") or "",
            folder=asked.get("folder") or "",
            since=asked.get("since"),
        )


class MomentForm(forms.Form):
    """The moment to which a mailbox is rolled back."""

    moment = forms.DateTimeField(
        label=_("As it was at (UTC)"),
        widget=forms.DateTimeInput(attrs={"type": "datetime-local"}, format="%Y-%m-%dT%H:%M"),
        help_text=_("Everything removed since then returns to its own folder."),
    )


class RuleForm(forms.Form):
    """After how many days mail leaves a folder."""

    folder = forms.CharField(
        label=_("Folder"),
        max_length=255,
        help_text=_("A name, or * for all folders that no other rule names."),
    )
    days = forms.IntegerField(
        label=_("Days"),
        required=False,
        min_value=1,
        max_value=LONGEST_DAYS,
        help_text=_("Leave empty to keep mail for ever."),
    )
    counted_from = forms.ChoiceField(
        label=_("Counted from"),
        choices=[
            (CountedFrom.ARRIVAL.value, _("arrival in the folder")),
            (CountedFrom.DOWNLOAD.value, _("when a program fetched it (inbox only)")),
        ],
        initial=CountedFrom.ARRIVAL.value,
    )

    @property
    def rule(self) -> Rule:
        """The rule that was asked for."""
        return Rule(
            folder=self.cleaned_data["folder"],
            counted_from=CountedFrom(self.cleaned_data["counted_from"]),
            days=self.cleaned_data["days"],
        )


class WindowForm(forms.Form):
    """For how many days removed mail can be brought back."""

    window_days = forms.IntegerField(label=_("Days"), min_value=1, max_value=365)
