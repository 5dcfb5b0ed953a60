"""The customer's domains."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.db.models import Count
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from accounts.access import Actor, Capability, Forbidden
from hosting import limits, ordering
from hosting.forms.ordering import DomainForm
from hosting.views import actor_of
from mailstore import dns_watch, domains, mail_routes
from mailstore.addresses import InvalidAddress
from mailstore.models import Domain, DomainDns, Mailbox

MOST_SHOWN = 500
# The mark that a state has on the pages.
_MARKS = {
    DomainDns.State.UNKNOWN: "pending",
    DomainDns.State.OK: "active",
    DomainDns.State.NOT_HERE: "pending",
    DomainDns.State.FAILING: "full",
}


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


@login_required
@require_safe
def detail(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Where mail for one domain goes, and the records that bring it here."""
    actor = actor_of(request)
    domain = _load(actor, uuid)
    dns = _looked_at(domain)
    context = {
        "domain": domain,
        "dns": dns,
        "mark": _MARKS[dns.state] if dns else "",
        "hosts": [{"id": f"mx-{n}", "name": name} for n, name in enumerate(mail_routes.hosts())],
        "may_manage": actor.can(Capability.MANAGE_MAIL, lineage=domain.organisation.lineage),
    }
    return render(request, "hosting/domain.html", context)


@login_required
@require_POST
def look(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Have the records looked at now."""
    actor = actor_of(request)
    domain = _load(actor, uuid)
    dns_watch.look_soon(actor=actor, domain=domain, at=timezone.now())
    messages.success(request, _("We look now. Load this page again in half a minute."))
    return redirect("domains:detail", uuid=domain.uuid)


def _load(actor: Actor, uuid: UUID) -> Domain:
    """The domain if the actor may know of it; a stranger's answers like an absent one."""
    visible = Domain.objects.visible_to(actor).select_related("organisation__parent", "dns")
    return get_object_or_404(visible, uuid=uuid)


def _looked_at(domain: Domain) -> DomainDns | None:
    """What is known of its records; load `dns` with it."""
    return getattr(domain, "dns", None) if mail_routes.hosts() else None


def _page(
    request: HttpRequest, *, actor: Actor, form: DomainForm, status: int = 200
) -> HttpResponse:
    visible = Domain.objects.visible_to(actor).select_related("dns")
    found = list(visible.order_by("name")[:MOST_SHOWN])
    standing = Mailbox.objects.standing().filter(domain__in=found).order_by()
    counts = dict(standing.values_list("domain").annotate(Count("pk")))
    shown = [_line(domain, mailbox_count=counts.get(domain.pk, 0)) for domain in found]
    context = {"domains": shown, "form": form}
    return render(request, "hosting/domains.html", context, status=status)


def _line(domain: Domain, *, mailbox_count: int) -> dict[str, Any]:
    """Once it is confirmed and looked at, what counts is whether its mail comes here."""
    dns = _looked_at(domain)
    is_told = dns is not None and dns.state != DomainDns.State.UNKNOWN
    return {
        "uuid": domain.uuid,
        "name": domain.shown_name,
        "key": domain.name,
        "is_confirmed": domain.state == Domain.State.CONFIRMED,
        "state": _MARKS[dns.state] if dns and is_told else domain.state,
        "state_text": dns.state.label if dns and is_told else domain.get_state_display(),
        "mailbox_count": mailbox_count,
    }
