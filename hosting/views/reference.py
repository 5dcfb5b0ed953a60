"""What integrators read: the reference of the API, and how to begin."""

from __future__ import annotations

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from accounts import keys
from hosting import problem_kinds, reference
from hosting.models import Plan
from hosting.views import look_of


@require_safe
def home(request: HttpRequest) -> HttpResponse:
    """Conventions, all operations by group, scopes and problems."""
    context = {
        "groups": reference.groups().values(),
        "scopes": keys.SCOPES,
        "problems": problem_kinds.KINDS.items(),
        "panel_url": look_of(request).panel_url,
    }
    return render(request, "hosting/api_reference.html", context)


@require_safe
def group(request: HttpRequest, slug: str) -> HttpResponse:
    """All operations on one kind of thing."""
    found = reference.groups().get(slug)
    if found is None:
        raise Http404
    context = {"group": found, "groups": reference.groups().values()}
    return render(request, "hosting/api_group.html", context)


@require_safe
def quick_start(request: HttpRequest) -> HttpResponse:
    """From a key to a mailbox in a few lines."""
    plan = Plan.objects.on_sale().filter(protocol="imap").first()
    context = {
        "panel_url": look_of(request).panel_url,
        "plan": plan.slug if plan else "imap",
        "groups": reference.groups().values(),
    }
    return render(request, "hosting/api_quick_start.html", context)


@require_safe
def document(_request: HttpRequest) -> HttpResponse:
    """The OpenAPI document as it is."""
    return HttpResponse(reference.PATH.read_bytes(), content_type="application/yaml")
