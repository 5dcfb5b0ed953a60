"""Whether app passwords alone open an organisation's mailboxes: new ones, and all there are."""

from __future__ import annotations

from uuid import UUID

from django import forms
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_POST, require_safe

from accounts.access import Actor, Capability
from accounts.models import Organisation
from accounts.stepping_up import needs_fresh_proof
from hosting.views import actor_of
from mailstore import onlookers, sign_in_policy

_MOST_MAILBOXES = 2**31 - 1


class DefaultForm(forms.Form):
    """What new mailboxes begin with."""

    state = forms.ChoiceField(choices=(("on", "on"), ("off", "off")))


class EverywhereForm(forms.Form):
    """In how many mailboxes the page said that a program stops."""

    expected = forms.IntegerField(min_value=0, max_value=_MOST_MAILBOXES)


@login_required
@require_safe
def detail(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """What holds for new mailboxes, and what would come of it for those that there are."""
    actor, at = actor_of(request), timezone.now()
    organisation = _load(actor, uuid, Capability.SEE_MAIL)
    foreseen = sign_in_policy.foresee(organisation, at=at)
    for each in foreseen.stopped:
        onlookers.note(actor=actor, mailbox=each.mailbox, at=at)
    context = {
        "organisation": organisation,
        "may_manage": actor.can(Capability.MANAGE_MAIL, lineage=organisation.lineage),
        "foreseen": foreseen,
        "more_count": foreseen.stopped_count - len(foreseen.stopped),
        "seen_days": sign_in_policy.SEEN_WITHIN.days,
    }
    return render(request, "hosting/sign_in_policy.html", context)


@login_required
@require_POST
@needs_fresh_proof
def set_default(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """From here on, new mailboxes begin with it or without."""
    actor = actor_of(request)
    organisation = _load(actor, uuid)
    form = DefaultForm(request.POST)
    if form.is_valid():
        is_on = form.cleaned_data["state"] == "on"
        sign_in_policy.set_default(
            actor=actor, organisation=organisation, is_on=is_on, at=timezone.now()
        )
        on = _("Only app passwords open new mailboxes from now on.")
        off = _("A mailbox password may open new mailboxes too from now on.")
        messages.success(request, on if is_on else off)
    return redirect("organisations:app_passwords", uuid=uuid)


@login_required
@require_POST
@needs_fresh_proof
def require_everywhere(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """From here on, app passwords alone open every mailbox there is."""
    actor = actor_of(request)
    organisation = _load(actor, uuid)
    form = EverywhereForm(request.POST)
    if not form.is_valid():
        return redirect("organisations:app_passwords", uuid=uuid)
    try:
        changed = sign_in_policy.require_everywhere(
            actor=actor,
            organisation=organisation,
            expected=form.cleaned_data["expected"],
            at=timezone.now(),
        )
    except sign_in_policy.MoreWouldStop:
        more = _("Meanwhile further programs signed in by a mailbox password. Look at them first.")
        messages.error(request, more)
    else:
        done = ngettext(
            "Only app passwords open %(count)s further mailbox now.",
            "Only app passwords open %(count)s further mailboxes now.",
            changed,
        )
        messages.success(request, done % {"count": changed})
    return redirect("organisations:app_passwords", uuid=uuid)


def _load(
    actor: Actor, uuid: UUID, capability: Capability = Capability.MANAGE_MAIL
) -> Organisation:
    """The organisation; a stranger's is as absent, and who may only see it is forbidden."""
    visible = Organisation.objects.visible_to(actor).select_related("parent__parent")
    organisation = get_object_or_404(visible, uuid=uuid)
    actor.must(capability, lineage=organisation.lineage)
    return organisation
