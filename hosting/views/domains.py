"""The customer's domains."""

from __future__ import annotations

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.db.models import Count
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from accounts.access import Actor, Forbidden
from hosting import limits, ordering
from hosting.forms.ordering import DomainForm
from hosting.views import actor_of
from mailstore import domains
from mailstore.addresses import InvalidAddress
from mailstore.models import Domain, Mailbox

MOST_SHOWN = 500


@login_required
@require_safe
def domain_list(request: HttpRequest) -> HttpResponse:
    """Domains with their state and how many mailboxes stand on each."""
    actor = actor_of(request)
    return _page(request, actor=actor, form=DomainForm(actor=actor))


@login_required
@require_POST
def add(request: HttpRequest) -> HttpResponse:
    """Add a domain, or show the form again with the reason why not."""
    actor = actor_of(request)
    form = DomainForm(request.POST, actor=actor)
    if form.is_valid():
        try:
            domain = ordering.add_domain(actor=actor, at=timezone.now(), **form.cleaned_data)
        except (InvalidAddress, domains.DomainTaken) as refusal:
            form.add_error("name", refusal if isinstance(refusal, InvalidAddress) else str(refusal))
        except (Forbidden, limits.LimitReached) as refusal:
            form.add_error(None, str(refusal))
        else:
            messages.success(request, _("%(domain)s was added.") % {"domain": domain})
            return redirect("domains:list")
    return _page(request, actor=actor, form=form, status=422)


def _page(
    request: HttpRequest, *, actor: Actor, form: DomainForm, status: int = 200
) -> HttpResponse:
    found = list(Domain.objects.visible_to(actor).order_by("name")[:MOST_SHOWN])
    standing = Mailbox.objects.standing().filter(domain__in=found).order_by()
    counts = dict(standing.values_list("domain").annotate(Count("pk")))
    shown = [
        {
            "name": domain.shown_name,
            "key": domain.name,
            "state": domain.state,
            "state_text": domain.get_state_display(),
            "mailbox_count": counts.get(domain.pk, 0),
        }
        for domain in found
    ]
    context = {"domains": shown, "form": form}
    return render(request, "hosting/domains.html", context, status=status)
