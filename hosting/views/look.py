"""A reseller's own look: tried out in a preview, put live, and put back; and its host name."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django import forms
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from accounts.access import Actor
from accounts.models import Organisation
from hosting import branding, logos, panel_hosts
from hosting.branding import Look
from hosting.models import Brand, Logo, PanelHost
from hosting.views import actor_of
from hosting.views.brand import picture
from hosting.views.profiles import LogoForm

# Session key of what is tried out, by reseller.
_DRAFTS = "brand_drafts"
_TEXTS = ("product_name", "accent", "accent_dark", "support_email", "support_url")


class BrandForm(forms.ModelForm, LogoForm):  # type: ignore[type-arg]
    """A brand with the picture that may come with it."""

    without_logo = forms.BooleanField(label=gettext_lazy("Without the logo"), required=False)

    class Meta:
        model = Brand
        fields = _TEXTS
        labels = {"product_name": gettext_lazy("Product name")}
        help_texts = {
            "product_name": gettext_lazy("What your customers know this panel as."),
            "accent": gettext_lazy("For links and buttons, such as #24479f."),
            "accent_dark": gettext_lazy("Leave it empty to have it made from the other one."),
            "support_email": gettext_lazy("Answers to our letters go there."),
            "support_url": gettext_lazy("Begins with https://."),
        }
        widgets = {
            "support_url": forms.URLInput(),
            "accent": forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false"}),
            "accent_dark": forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false"}),
        }

    field_order = (*_TEXTS, "logo", "without_logo")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["logo"].required = False
        self.fields["logo"].label = _("Logo")
        if self.instance.logo is None:
            del self.fields["without_logo"]

    def clean_logo(self) -> bytes:
        """The bytes, which are none if no picture was sent."""
        return super().clean_logo() if self.cleaned_data.get("logo") else b""


class HostForm(forms.Form):
    """A host name."""

    name = forms.CharField(
        label=gettext_lazy("Host name"),
        max_length=253,
        help_text=gettext_lazy("One of a domain of yours, such as panel.example.com."),
        widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false"}),
    )


@login_required
@require_safe
def mine(request: HttpRequest) -> HttpResponse:
    """Straight to the look of the reseller that the person owns."""
    found = branding.editable_by(actor_of(request)).order_by("pk").first()
    if found is None:
        raise Http404
    return redirect("look:detail", uuid=found.uuid)


@login_required
@never_cache
@require_safe
def detail(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """What holds now, a form to try out something else, and the host name."""
    organisation = _load(actor_of(request), uuid)
    form = BrandForm(instance=_draft(request, organisation))
    return _page(request, organisation, form=form, host_form=HostForm())


@login_required
@require_POST
def try_out(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Keep what was filled in for this session alone, and show how it would look."""
    actor = actor_of(request)
    organisation = _load(actor, uuid)
    form = BrandForm(request.POST, request.FILES, instance=_draft(request, organisation))
    if form.is_valid() and _tried(form, actor):
        _remember(request, form.instance)
        return redirect("look:preview", uuid=uuid)
    return _page(request, organisation, form=form, host_form=HostForm())


@login_required
@never_cache
@require_safe
def preview(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Sign-in page, overview and a letter in what is tried out."""
    organisation = _load(actor_of(request), uuid)
    brand = _draft(request, organisation)
    tried = _look(brand)
    context = {
        "organisation": organisation,
        "look": tried,
        "house_name": tried.name,
        "is_draft": str(organisation.uuid) in request.session.get(_DRAFTS, {}),
        "is_live": brand.pk is not None,
    }
    return render(request, "hosting/look_preview.html", context)


@login_required
@never_cache
@require_safe
def draft_logo(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """The logo of what is tried out."""
    return picture(_draft(request, _load(actor_of(request), uuid)).logo)


@login_required
@require_POST
def keep(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Show what was tried out to everybody."""
    actor = actor_of(request)
    organisation = _load(actor, uuid)
    try:
        branding.keep(actor=actor, brand=_draft(request, organisation), at=timezone.now())
    except branding.BrandRefused as refusal:
        messages.error(request, str(refusal))
    else:
        _forget(request, organisation)
        messages.success(request, _("Your customers see it from now on."))
    return redirect("look:detail", uuid=uuid)


@login_required
@require_POST
def forget(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Drop what was tried out; what holds goes on."""
    _forget(request, _load(actor_of(request), uuid))
    return redirect("look:detail", uuid=uuid)


@login_required
@require_POST
def put_back(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Show the house's look again; the reseller's own waits in the form, to come back."""
    actor = actor_of(request)
    organisation = _load(actor, uuid)
    before = branding.of(organisation)
    if before.pk is not None:
        branding.put_back(actor=actor, organisation=organisation, at=timezone.now())
        _remember(request, before)
        text = _("The look of the house is back. Yours is still in the form: try it, then keep it.")
        messages.success(request, text)
    return redirect("look:detail", uuid=uuid)


@login_required
@require_POST
def claim_host(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Ask for a host name."""
    actor = actor_of(request)
    organisation = _load(actor, uuid)
    host_form = HostForm(request.POST)
    if host_form.is_valid():
        name = host_form.cleaned_data["name"]
        try:
            panel_hosts.claim(actor=actor, organisation=organisation, name=name, at=timezone.now())
        except panel_hosts.HostRefused as refusal:
            host_form.add_error("name", str(refusal))
        else:
            messages.success(request, _("Noted. Make the two records below; we look for them."))
            return redirect("look:detail", uuid=uuid)
    form = BrandForm(instance=_draft(request, organisation))
    return _page(request, organisation, form=form, host_form=host_form)


@login_required
@require_POST
def look_at_host(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Have the records looked at now."""
    actor = actor_of(request)
    organisation = _load(actor, uuid)
    panel_hosts.look_soon(actor=actor, organisation=organisation, at=timezone.now())
    messages.success(request, _("We look now. Load this page again in half a minute."))
    return redirect("look:detail", uuid=uuid)


@login_required
@require_POST
def give_up_host(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Let the name go, if it was typed."""
    actor = actor_of(request)
    organisation = _load(actor, uuid)
    host = PanelHost.objects.filter(organisation=organisation).first()
    if host is None or request.POST.get("name", "").strip().lower() != host.name:
        messages.error(request, _("Type the host name as it stands there, then it is given up."))
    else:
        panel_hosts.give_up(actor=actor, organisation=organisation, at=timezone.now())
        messages.success(request, _("The panel does not answer to that name any more."))
    return redirect("look:detail", uuid=uuid)


def _load(actor: Actor, uuid: UUID) -> Organisation:
    """The reseller if the person owns it; any other is as absent."""
    return get_object_or_404(branding.editable_by(actor), uuid=uuid)


def _draft(request: HttpRequest, organisation: Organisation) -> Brand:
    """What is tried out in this session, or else what holds."""
    brand = branding.of(organisation)
    kept = request.session.get(_DRAFTS, {}).get(str(organisation.uuid))
    if kept is not None:
        for name in _TEXTS:
            setattr(brand, name, kept[name])
        # It is gone if it waited for more than a day.
        brand.logo = Logo.objects.filter(organisation=organisation, pk=kept["logo"]).first()
    return brand


def _tried(form: BrandForm, actor: Actor) -> bool:
    """Whether the brand could be kept so; what is wrong stands beside its field."""
    brand, picture_sent = form.instance, form.cleaned_data["logo"]
    try:
        branding.check(brand)
        if picture_sent:
            brand.logo = branding.add_logo(
                actor=actor,
                organisation=brand.organisation,
                content=picture_sent,
                at=timezone.now(),
            )
        elif form.cleaned_data.get("without_logo"):
            brand.logo = None
    except branding.BrandRefused as refusal:
        form.add_error(refusal.field, str(refusal))
    except logos.LogoRefused as refusal:
        form.add_error("logo", str(refusal))
    return form.is_valid()


def _remember(request: HttpRequest, brand: Brand) -> None:
    values: dict[str, Any] = {name: getattr(brand, name) for name in _TEXTS}
    drafts = request.session.get(_DRAFTS, {})
    key = str(brand.organisation.uuid)
    request.session[_DRAFTS] = {**drafts, key: {**values, "logo": brand.logo_id}}


def _forget(request: HttpRequest, organisation: Organisation) -> None:
    drafts = dict(request.session.get(_DRAFTS, {}))
    if drafts.pop(str(organisation.uuid), None) is not None:
        request.session[_DRAFTS] = drafts


def _look(brand: Brand) -> Look:
    organisation = brand.organisation
    return branding.look(
        brand,
        panel_url=panel_hosts.panel_url(organisation.pk),
        logo_path=reverse("look:draft_logo", args=[organisation.uuid]),
    )


def _page(
    request: HttpRequest, organisation: Organisation, *, form: BrandForm, host_form: HostForm
) -> HttpResponse:
    host = PanelHost.objects.filter(organisation=organisation).first()
    context = {
        "organisation": organisation,
        "form": form,
        "is_draft": str(organisation.uuid) in request.session.get(_DRAFTS, {}),
        "live": branding.of_seller(organisation.pk),
        "is_live": Brand.objects.filter(organisation=organisation).exists(),
        "host": host,
        "host_url": panel_hosts.url(host.name) if host else "",
        "host_form": host_form,
        "target": panel_hosts.house_name(),
    }
    return render(request, "hosting/look.html", context)
