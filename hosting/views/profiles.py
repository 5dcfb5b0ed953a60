"""Billing details: what bills say of an organisation, and the logo of who sells."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django import forms
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import ValidationError
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts.access import Actor
from accounts.models import Organisation
from accounts.stepping_up import changes_need_fresh_proof
from hosting import branding, countries, logos, profiles
from hosting.models import BillingProfile
from hosting.papers.values import Party
from hosting.views import actor_of, must_see_bills
from hosting.views.invoices import picture, selling

PAGE_LENGTH = 50


class ProfileForm(forms.ModelForm):  # type: ignore[type-arg]
    """What bills say of an organisation, as its owner may change it."""

    country = forms.ChoiceField(label=gettext_lazy("Country"))

    class Meta:
        model = BillingProfile
        fields = ("legal_name", "address", "country", "vat_id", "pools_storage")
        labels = {
            "legal_name": gettext_lazy("Name on invoices"),
            "address": gettext_lazy("Address"),
            "vat_id": gettext_lazy("VAT id"),
            "pools_storage": gettext_lazy("Share the included space"),
        }
        help_texts = {
            "address": gettext_lazy("Street and town, as on a letter; the country is added."),
            "vat_id": gettext_lazy(
                "Only for businesses. With one of another EU country, the tax is yours to "
                "declare, and invoices say “Reverse charge”."
            ),
        }
        widgets = {"address": forms.Textarea(attrs={"rows": 4})}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for field in self.fields.values():
            # What somebody else changed since the page was opened is not written back by it.
            field.show_hidden_initial = True
        self.fields["country"].choices = [("", "—"), *countries.choices()]  # type: ignore[attr-defined]


class LogoForm(forms.Form):
    """One small picture."""

    logo = forms.FileField(
        label=gettext_lazy("Picture"),
        help_text=gettext_lazy("PNG or JPEG, up to 200 kB."),
        widget=forms.FileInput(attrs={"accept": "image/png,image/jpeg"}),
    )

    def clean_logo(self) -> bytes:
        """The bytes; a file that is too long is not even read."""
        file = self.cleaned_data["logo"]
        if file.size > logos.MOST_BYTES:
            raise ValidationError(_("The picture has more than 200 kB. Make it smaller first."))
        content: bytes = file.read()
        return content


@login_required
@require_safe
def profile_list(request: HttpRequest) -> HttpResponse:
    """Whose details the person keeps; straight to them for whoever keeps one."""
    actor = must_see_bills(actor_of(request))
    search, after = request.GET.get("q", "").strip()[:120], request.GET.get("after", "")
    found = profiles.editable_by(actor).filter(name__icontains=search).order_by("pk")
    if after.isascii() and after.isdigit():
        found = found.filter(pk__gt=int(after[:18]))
    page = list(found[: PAGE_LENGTH + 1])
    if len(page) == 1 and not search and not after:
        return redirect("billing:profile", uuid=page[0].uuid)
    shown, has_more = page[:PAGE_LENGTH], len(page) > PAGE_LENGTH
    context = {
        "section": "profile",
        **selling(actor),
        "organisations": shown,
        "search": search,
        "next_url": "?" + urlencode({"q": search, "after": shown[-1].pk}) if has_more else "",
        "is_first_page": not after,
    }
    return render(request, "hosting/billing_profiles.html", context)


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
@changes_need_fresh_proof
def detail(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """What the next bills will say, and a form to change it."""
    actor = actor_of(request)
    organisation = _load(actor, uuid)
    profile = profiles.of(organisation)
    form = ProfileForm(request.POST or None, instance=profile)
    if request.method == "POST" and form.is_valid():
        try:
            profiles.keep(actor=actor, profile=profile, asked=form.changed_data, at=timezone.now())
        except profiles.ProfileRefused as refusal:
            form.add_error(None, str(refusal))
        else:
            messages.success(request, _("Kept. Invoices from now on say it so."))
            return redirect("billing:profile", uuid=uuid)
    return _page(request, actor, organisation, form=form, logo_form=LogoForm())


@login_required
@require_POST
def set_logo(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Put a picture at the head of the invoices to come."""
    actor = actor_of(request)
    organisation = _load(actor, uuid)
    logo_form = LogoForm(request.POST, request.FILES)
    if logo_form.is_valid():
        try:
            profiles.set_logo(
                actor=actor,
                organisation=organisation,
                content=logo_form.cleaned_data["logo"],
                at=timezone.now(),
            )
        except (profiles.ProfileRefused, logos.LogoRefused) as refusal:
            logo_form.add_error("logo", str(refusal))
        else:
            messages.success(request, _("The logo stands on all invoices from now on."))
            return redirect("billing:profile", uuid=uuid)
    form = ProfileForm(instance=profiles.of(organisation))
    return _page(request, actor, organisation, form=form, logo_form=logo_form)


@login_required
@require_POST
def remove_logo(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Let the name stand alone."""
    actor = actor_of(request)
    organisation = _load(actor, uuid)
    try:
        profiles.remove_logo(actor=actor, organisation=organisation, at=timezone.now())
    except profiles.ProfileRefused as refusal:
        messages.error(request, str(refusal))
    else:
        messages.success(request, _("Invoices from now on have no logo."))
    return redirect("billing:profile", uuid=uuid)


@login_required
@require_safe
def logo(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """The logo as it will stand on the next invoice."""
    found = profiles.of(_load(actor_of(request), uuid)).logo
    if found is None:
        raise Http404
    return picture(found)


def _load(actor: Actor, uuid: UUID) -> Organisation:
    """The organisation if the person keeps its details; any other is as absent."""
    return get_object_or_404(profiles.editable_by(actor), uuid=uuid)


def _page(
    request: HttpRequest,
    actor: Actor,
    organisation: Organisation,
    *,
    form: ProfileForm,
    logo_form: LogoForm,
) -> HttpResponse:
    stored = profiles.of(organisation)
    context = {
        "section": "profile",
        **selling(actor),
        "organisation": organisation,
        "form": form,
        "logo_form": logo_form,
        "may_have_logo": organisation.kind in profiles.SELLERS,
        "may_have_look": branding.editable_by(actor).filter(pk=organisation.pk).exists(),
        "logo": stored.logo,
        "party": Party.of(stored.as_text()) if stored.pk else None,
    }
    return render(request, "hosting/billing_profile.html", context)
