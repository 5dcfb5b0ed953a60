"""Retention rules of an organisation or a domain: what holds below, and what a rule would do."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_POST, require_safe

from accounts.access import Actor, Capability
from accounts.models import Organisation
from hosting.forms.keeping import BoundedRuleForm
from hosting.views import actor_of, rule_setting, sees_bills
from mailstore import rules
from mailstore.models import Domain, PendingChange

_MOST_LISTED = 200

Scope = Organisation | Domain


@login_required
@require_safe
def scopes(request: HttpRequest) -> HttpResponse:
    """Every organisation and domain that may have rules of its own."""
    actor = actor_of(request).only_with(Capability.SEE_MAIL)
    context = {
        "organisations": Organisation.objects.visible_to(actor).order_by("name")[:_MOST_LISTED],
        "domains": Domain.objects.visible_to(actor).order_by("name")[:_MOST_LISTED],
    }
    return render(request, "hosting/rule_scopes.html", context)


@login_required
@require_safe
def detail(request: HttpRequest, kind: str, uuid: UUID) -> HttpResponse:
    """The rules of one place."""
    actor = actor_of(request)
    scope = _load(actor, kind, uuid)
    initial = BoundedRuleForm.initial_of(rules.own_rules(scope), request.GET.get("folder", ""))
    context = _context(actor, scope, kind=kind, form=BoundedRuleForm(initial=initial))
    return render(request, "hosting/rules.html", context)


@login_required
@require_POST
def set_rule(request: HttpRequest, kind: str, uuid: UUID) -> HttpResponse:
    """Show what a rule would do, or set it; one that removes mail sooner waits."""
    actor = actor_of(request)
    scope = _load(actor, kind, uuid)
    form = BoundedRuleForm(request.POST)
    shown = rule_setting.ask(
        request, actor=actor, target=scope, form=form, sees_bills=sees_bills(actor, _owner(scope))
    )
    if shown is None:
        return redirect("rules:detail", kind=kind, uuid=uuid)
    context = _context(actor, scope, kind=kind, form=form) | shown
    return render(request, "hosting/rules.html", context, status=422 if form.errors else 200)


@login_required
@require_POST
def remove_rule(request: HttpRequest, kind: str, uuid: UUID) -> HttpResponse:
    """Show what it would do to go back to what the layers above say, or do it."""
    actor = actor_of(request)
    scope = _load(actor, kind, uuid)
    shown = rule_setting.remove(
        request, actor=actor, target=scope, sees_bills=sees_bills(actor, _owner(scope))
    )
    if not shown:
        return redirect("rules:detail", kind=kind, uuid=uuid)
    context = _context(actor, scope, kind=kind, form=BoundedRuleForm()) | shown
    return render(request, "hosting/rules.html", context)


def _load(actor: Actor, kind: str, uuid: UUID) -> Scope:
    """The place if the actor may know of it; a stranger's answers like an absent one."""
    if kind == "domain":
        domains = Domain.objects.visible_to(actor).select_related("organisation__parent")
        scope: Scope = get_object_or_404(domains, uuid=uuid)
    else:
        organisations = Organisation.objects.visible_to(actor).select_related("parent")
        scope = get_object_or_404(organisations, uuid=uuid)
    actor.must(Capability.SEE_MAIL, lineage=_owner(scope).lineage)
    return scope


def _owner(scope: Scope) -> Organisation:
    return scope.organisation if isinstance(scope, Domain) else scope


def _context(actor: Actor, scope: Scope, *, kind: str, form: BoundedRuleForm) -> dict[str, Any]:
    organisation = _owner(scope)
    place = {"domain": scope} if isinstance(scope, Domain) else {"organisation": scope}
    waiting = PendingChange.objects.waiting()
    if not isinstance(scope, Domain):
        waiting = waiting.filter(domain=None, mailbox=None)
    return {
        "scope": scope,
        "kind": kind,
        "own_rules": rules.own_rules(scope),
        "above": rules.above(scope),
        "mailbox_count": rules.mailboxes_under(scope).count(),
        "pending": waiting.filter(**place),
        "may_manage": actor.can(Capability.MANAGE_MAIL, lineage=organisation.lineage),
        "rule_form": form,
    }
