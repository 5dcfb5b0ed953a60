"""Whether an organisation asks its people, or its customers' people, for a second factor."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django import forms
from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import ValidationError
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts.access import Actor, Capability
from accounts.models import (
    FactorDemand,
    FactorLoss,
    Membership,
    Organisation,
    User,
    UserManager,
)
from accounts.second_factor import demanding, losing
from accounts.stepping_up import needs_fresh_proof
from hosting.views import actor_of

# So many of those who have none are named; the rest is a number.
_MOST_NAMED = 20


class DemandForm(forms.Form):
    """From when on nobody gets in without one."""

    grace_days = forms.IntegerField(
        label=gettext_lazy("Days until it holds"),
        help_text=gettext_lazy("Until then a banner on every page says so. 0 is at once."),
        min_value=0,
        max_value=demanding.MOST_GRACE_DAYS,
        initial=demanding.DEFAULT_GRACE_DAYS,
        widget=forms.NumberInput(attrs={"inputmode": "numeric"}),
    )


class LossForm(forms.Form):
    """Who lost the device, and how you know that it is so."""

    email = forms.EmailField(label=gettext_lazy("Address that the person signs in with"))
    reason = forms.CharField(
        label=gettext_lazy("How do you know?"),
        help_text=gettext_lazy("Everybody who is told reads it."),
        max_length=300,
    )

    def __init__(self, *args: Any, organisation: Organisation, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.organisation = organisation

    def clean_email(self) -> User:
        """A member, and nobody else."""
        email = UserManager.canonical(self.cleaned_data["email"])
        person = User.objects.filter(
            email=email, memberships__organisation=self.organisation
        ).first()
        if person is None:
            raise ValidationError(_("Nobody here signs in with this address."), code="absent")
        return person


@login_required
@require_safe
def detail(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """What is asked for now, and who has no second factor yet."""
    return _page(request, _load(actor_of(request), uuid))


@login_required
@require_POST
@needs_fresh_proof
def demand(request: HttpRequest, uuid: UUID, reach: str) -> HttpResponse:
    """Ask for it from a day on."""
    actor = actor_of(request)
    organisation = _load(actor, uuid)
    form = DemandForm(request.POST)
    if not form.is_valid():
        return _page(request, organisation, form=form, reach=_reach(reach))
    try:
        made = demanding.demand(
            actor=actor,
            organisation=organisation,
            reach=_reach(reach),
            grace_days=form.cleaned_data["grace_days"],
            at=timezone.now(),
        )
    except demanding.NobodyBelow as absent:
        raise Http404 from absent
    text = _("A second factor is asked for from %(day)s on.")
    messages.success(request, text % {"day": f"{made.due_at:%-d %B %Y}"})
    return redirect("organisations:factor", uuid=uuid)


@login_required
@require_POST
@needs_fresh_proof
def withdraw(request: HttpRequest, uuid: UUID, reach: str) -> HttpResponse:
    """Ask for it no more."""
    actor = actor_of(request)
    organisation = _load(actor, uuid)
    demanding.withdraw(
        actor=actor, organisation=organisation, reach=_reach(reach), at=timezone.now()
    )
    messages.success(request, _("No second factor is asked for any more."))
    return redirect("organisations:factor", uuid=uuid)


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
@needs_fresh_proof
def lost(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Begin the wait for a member who lost the second factor."""
    actor = actor_of(request)
    organisation = _load(actor, uuid, Capability.MANAGE_PEOPLE)
    named = {"email": _email_of(request.GET.get("member", ""), organisation)}
    form = LossForm(request.POST or None, initial=named, organisation=organisation)
    if request.method == "POST" and form.is_valid():
        try:
            loss = losing.ask_for(
                actor=actor,
                user=form.cleaned_data["email"],
                organisation=organisation,
                reason=form.cleaned_data["reason"],
                at=timezone.now(),
            )
        except (losing.NothingToLose, losing.WaitsAlready, losing.NeedsReason) as refusal:
            form.add_error(None, str(refusal))
        else:
            text = _("Everybody is told. On %(day)s the devices of %(email)s are removed.")
            day = f"{loss.due_at:%-d %B %Y}"
            messages.success(request, text % {"day": day, "email": loss.user.email})
            return redirect("organisations:lost_factor", uuid=uuid)
    context = {
        "organisation": organisation,
        "form": form,
        "days": settings.LOST_FACTOR_WAIT_DAYS,
        "waiting": FactorLoss.objects.filter(
            user__memberships__organisation=organisation, state=FactorLoss.State.WAITING
        ).select_related("user"),
    }
    status = 422 if form.errors else 200
    return render(request, "hosting/lost_factor.html", context, status=status)


def _email_of(member: str, organisation: Organisation) -> str:
    """Of the member that the list of people led here from, if there is one of this id."""
    try:
        found = Membership.objects.filter(uuid=UUID(member), organisation=organisation)
    except ValueError:
        return ""
    return found.values_list("user__email", flat=True).first() or ""


@login_required
@require_POST
def found(request: HttpRequest, uuid: UUID, loss_uuid: UUID) -> HttpResponse:
    """Call the wait off for a member."""
    actor = actor_of(request)
    organisation = _load(actor, uuid, Capability.MANAGE_PEOPLE)
    waits = FactorLoss.objects.filter(user__memberships__organisation=organisation)
    loss = get_object_or_404(waits.select_related("user"), uuid=loss_uuid)
    try:
        losing.call_off(loss=loss, actor=actor, at=timezone.now())
    except losing.Over as refusal:
        messages.error(request, str(refusal))
    else:
        messages.success(request, _("Called off. The devices stay as they are."))
    return redirect("organisations:lost_factor", uuid=uuid)


def _load(
    actor: Actor, uuid: UUID, capability: Capability = Capability.MANAGE_KEYS
) -> Organisation:
    """The organisation; a stranger's is as absent, and who may only see it is forbidden."""
    visible = Organisation.objects.visible_to(actor).select_related("parent__parent")
    organisation = get_object_or_404(visible, uuid=uuid)
    actor.must(capability, lineage=organisation.lineage)
    return organisation


def _reach(word: str) -> FactorDemand.Reach:
    try:
        return FactorDemand.Reach(word)
    except ValueError as absent:
        raise Http404 from absent


def _page(
    request: HttpRequest,
    organisation: Organisation,
    *,
    form: DemandForm | None = None,
    reach: FactorDemand.Reach | None = None,
) -> HttpResponse:
    reaches = [FactorDemand.Reach.OWN]
    if organisation.kind != Organisation.Kind.CUSTOMER:
        # Members of sellers need one anyway.
        reaches = [FactorDemand.Reach.BELOW]
    missing = demanding.without_factor(organisation)
    context = {
        "organisation": organisation,
        "is_seller": organisation.kind != Organisation.Kind.CUSTOMER,
        "choices": [
            {
                "reach": each,
                "standing": demanding.demand_of(organisation, each),
                "form": form if form and each == reach else DemandForm(),
            }
            for each in reaches
        ],
        "missing": list(missing[:_MOST_NAMED]),
        "missing_count": missing.count(),
    }
    status = 422 if form and form.errors else 200
    return render(request, "hosting/factor_demands.html", context, status=status)
