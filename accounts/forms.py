"""Forms about people."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib.auth.forms import AuthenticationForm
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.core.validators import MaxLengthValidator
from django.utils.translation import gettext_lazy as _

from accounts import password_rules
from accounts.models import User, UserManager
from accounts.second_factor import recovery_codes
from accounts.second_factor.authenticators import NAME_LENGTH

CODE_DIGITS = 6

_EASY_TO_KEEP = _("At least 10 characters. A few words in a row are good.")


def _password(label: Any, *, help_text: Any = "", is_new: bool = False) -> forms.CharField:
    """A field for a password: one that is known, or one to be."""
    kind = "new-password" if is_new else "current-password"
    return forms.CharField(
        label=label,
        help_text=help_text,
        strip=False,
        max_length=password_rules.LONGEST,
        widget=forms.PasswordInput(attrs={"autocomplete": kind}),
    )


class SignInForm(AuthenticationForm):
    """E-mail address and password."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["username"].label = _("E-mail address")
        self.fields["username"].widget = forms.EmailInput(
            attrs={"autocomplete": "username", "autofocus": True},
        )
        self.fields["password"].validators.append(MaxLengthValidator(password_rules.LONGEST))

    def clean_username(self) -> str:
        """The canonical address, so that capitals do not matter."""
        return UserManager.canonical(self.cleaned_data["username"])


class SignUpForm(forms.Form):
    """Where the letter goes by which somebody opens an account."""

    email = forms.EmailField(
        label=_("E-mail address"),
        help_text=_("An address you have elsewhere. We write to it when a mailbox needs you."),
        max_length=254,
        widget=forms.EmailInput(attrs={"autocomplete": "email", "autofocus": True}),
    )


class OpenAccountForm(forms.Form):
    """A new customer and its first person, whose address is known already."""

    name = forms.CharField(
        label=_("Your name"),
        max_length=120,
        widget=forms.TextInput(attrs={"autocomplete": "name"}),
    )
    organisation_name = forms.CharField(
        label=_("Company or household"),
        max_length=120,
        help_text=_("Bills go to this name."),
        widget=forms.TextInput(attrs={"autocomplete": "organization"}),
    )
    password = _password(_("Password"), help_text=_EASY_TO_KEEP, is_new=True)

    def __init__(self, *args: Any, email: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.email = email

    def clean_password(self) -> str:
        """One that is hard to guess for others."""
        password: str = self.cleaned_data["password"]
        person = User(email=self.email, name=self.cleaned_data.get("name", ""))
        validate_password(password, person)
        return password


class InvitationForm(forms.Form):
    """The first password of somebody who was invited."""

    name = forms.CharField(
        label=_("Your name"),
        max_length=120,
        widget=forms.TextInput(attrs={"autocomplete": "name"}),
    )
    password = _password(_("Password"), help_text=_EASY_TO_KEEP, is_new=True)

    def __init__(self, *args: Any, email: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.email = email

    def clean_password(self) -> str:
        """One that is hard to guess for others."""
        password: str = self.cleaned_data["password"]
        person = User(email=self.email, name=self.cleaned_data.get("name", ""))
        validate_password(password, person)
        return password


class _NewPasswordForm(forms.Form):
    """A password that a person is to have instead of the present one."""

    password = _password(_("New password"), help_text=_EASY_TO_KEEP, is_new=True)

    def __init__(self, *args: Any, user: User, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.user = user

    def clean_password(self) -> str:
        """One that is hard to guess for others."""
        password: str = self.cleaned_data["password"]
        validate_password(password, self.user)
        return password


class ResetForm(_NewPasswordForm):
    """What somebody chooses who came by the link of a letter."""


class ChangePasswordForm(_NewPasswordForm):
    """The present password, and the one to come."""

    # Both stand on one page with another form that asks for the password too.
    prefix = "change"
    present = _password(_("Present password"))
    field_order = ("present", "password")


class ForgottenForm(forms.Form):
    """Whose password is forgotten."""

    email = forms.EmailField(
        label=_("E-mail address"),
        max_length=254,
        widget=forms.EmailInput(attrs={"autocomplete": "username", "autofocus": True}),
    )


class ChangeAddressForm(forms.Form):
    """Another address to sign in with, and the password."""

    prefix = "address"
    email = forms.EmailField(
        label=_("New e-mail address"),
        max_length=254,
        widget=forms.EmailInput(attrs={"autocomplete": "email"}),
    )
    password = _password(_("Your password"), help_text=_("The one you sign in with."))


class CodeForm(forms.Form):
    """The six digits of an authenticator app, or a code from the paper."""

    code = forms.CharField(
        label=_("Code"),
        help_text=_("Six digits from your app, or one of your recovery codes."),
        # A recovery code with whatever people type between its groups.
        max_length=40,
        widget=forms.TextInput(
            attrs={"autocomplete": "one-time-code", "autocapitalize": "none", "autofocus": True},
        ),
    )

    def clean_code(self) -> str:
        """What has the form of neither is no try."""
        code: str = self.cleaned_data["code"]
        plain = code.replace(" ", "")
        is_of_app = len(plain) == CODE_DIGITS and plain.isascii() and plain.isdecimal()
        if not (is_of_app or recovery_codes.looks_like_one(recovery_codes.canonical(code))):
            raise ValidationError(
                _("The code of an app has six digits, a recovery code four groups of four."),
                code="invalid",
            )
        return plain


class EnrolForm(forms.Form):
    """The first code of a new app, and what its phone is called."""

    code = forms.RegexField(
        r"\A\d{6}\Z",
        label=_("Six digits from your app"),
        error_messages={"invalid": _("The code has six digits.")},
        widget=forms.TextInput(
            attrs={"autocomplete": "one-time-code", "inputmode": "numeric", "autofocus": True},
        ),
    )
    name = forms.CharField(
        label=_("Name of the device"),
        help_text=_("So that you know later which one it is."),
        initial=_("Phone"),
        max_length=NAME_LENGTH,
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )


class DeviceNameForm(forms.Form):
    """Another name for a device."""

    name = forms.CharField(
        label=_("Name of the device"),
        max_length=NAME_LENGTH,
        widget=forms.TextInput(attrs={"autocomplete": "off", "autofocus": True}),
    )


class PasswordForm(forms.Form):
    """The password once more, of whoever is signed in."""

    password = _password(_("Your password"), help_text=_("The one you sign in with."))

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["password"].widget.attrs["autofocus"] = True
