"""Webhooks in the browser: endpoints, and how telling them went."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts.access import Actor, Capability
from accounts.models import Organisation
from accounts.stepping_up import needs_fresh_proof
from hosting import feed, public_ids, shown_once
from hosting.forms.webhooks import EnableForm, EndpointForm, NewEndpointForm, RotateForm
from hosting.models import WebhookDelivery, WebhookEndpoint
from hosting.views import actor_of
from hosting.webhooks import endpoints, sending
from hosting.webhooks.endpoints import BadEndpoint, TooManyEndpoints, WrongState

PAGE_LENGTH = 50
_LONGEST_KEY = 18


@login_required
@require_safe
def endpoint_list(request: HttpRequest) -> HttpResponse:
    """Every address that is told of events, with how it does."""
    actor = _must_keep_any(request)
    search, after = request.GET.get("q", "").strip()[:120], request.GET.get("after", "")
    found = _kept(actor).filter(url__icontains=search).order_by("-pk")
    page, next_key = _page(found, after)
    context = {
        "endpoints": page,
        "search": search,
        "next_url": "?" + urlencode({"q": search, "after": next_key}) if next_key else "",
        "is_first_page": not after,
    }
    return render(request, "hosting/webhooks.html", context)


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
@needs_fresh_proof
def make(request: HttpRequest) -> HttpResponse:
    """A new endpoint; its secret is shown on the next page, once."""
    actor = _must_keep_any(request)
    form = NewEndpointForm(request.POST or None, organisations=_organisations(actor))
    if request.method == "POST" and form.is_valid():
        try:
            made = endpoints.make(actor=actor, at=timezone.now(), **form.cleaned_data)
        except BadEndpoint as refusal:
            form.add_error(refusal.field, str(refusal))
        except TooManyEndpoints as refusal:
            form.add_error(None, str(refusal))
        else:
            _keep_secret(request, made)
            return redirect("webhooks:detail", uuid=made.endpoint.uuid)
    return _form_page(request, form, title=_("New webhook"))


@login_required
@require_safe
def detail(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """One endpoint, what can be done with it, and its deliveries, newest first."""
    endpoint = _load(request, uuid)
    state, after = request.GET.get("state", ""), request.GET.get("after", "")
    found = WebhookDelivery.objects.filter(endpoint=endpoint).order_by("-pk")
    if state in WebhookDelivery.State.values:
        found = found.filter(state=state)
    page, next_key = _page(found, after)
    signing = list(endpoint.secrets.signing(at=timezone.now()))
    context = {
        "endpoint": endpoint,
        "public_id": public_ids.encode("whe", endpoint.uuid),
        "secret": _take_secret(request, endpoint),
        "old_secrets": signing[1:],
        "most_secrets": endpoints.MOST_SECRETS,
        "next_ends_oldest": len(signing) >= endpoints.MOST_SECRETS,
        "deliveries": page,
        "state": state,
        "states": WebhookDelivery.State.choices,
        "next_url": "?" + urlencode({"state": state, "after": next_key}) if next_key else "",
        "is_first_page": not after,
        "rotate_form": RotateForm(),
        "enable_form": EnableForm(),
    }
    return render(request, "hosting/webhook.html", context)


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
@needs_fresh_proof
def edit(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Change where it lies and what it hears."""
    endpoint = _load(request, uuid)
    initial = {name: getattr(endpoint, name) for name in EndpointForm.base_fields}
    form = EndpointForm(request.POST or None, initial=initial)
    if request.method == "POST" and form.is_valid():
        actor = actor_of(request)
        try:
            endpoints.edit(actor=actor, endpoint=endpoint, at=timezone.now(), **form.cleaned_data)
        except BadEndpoint as refusal:
            form.add_error(refusal.field, str(refusal))
        else:
            messages.success(request, _("Kept. What is on its way goes to this address."))
            return redirect("webhooks:detail", uuid=uuid)
    return _form_page(request, form, title=_("Change this webhook"), endpoint=endpoint)


@login_required
@require_POST
@needs_fresh_proof
def rotate(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """A new secret, shown once."""
    endpoint = _load(request, uuid)
    form = RotateForm(request.POST)
    if form.is_valid():
        made = endpoints.rotate(
            actor=actor_of(request), endpoint=endpoint, overlap=form.overlap, at=timezone.now()
        )
        _keep_secret(request, made)
    return redirect("webhooks:detail", uuid=uuid)


@login_required
@require_POST
def disable(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Tell it nothing more."""
    done = _("Nothing more is sent there. What happens from now on waits until you enable it.")
    return _act(request, uuid, endpoints.disable, done)


@login_required
@require_POST
def enable(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Tell it again, with what was missed if that was asked for."""
    form = EnableForm(request.POST)
    sends_missed = form.is_valid() and form.cleaned_data["sends_missed"]
    done = _("Events are sent there again.")
    return _act(request, uuid, endpoints.enable, done, sends_missed=sends_missed)


@login_required
@require_POST
def ping(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Send it a word, to see whether it hears."""
    done = _("A ping is on its way. It stands below in a moment.")
    return _act(request, uuid, endpoints.ping, done)


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def remove(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Forget it, after asking."""
    endpoint = _load(request, uuid)
    if request.method == "POST":
        endpoints.remove(actor=actor_of(request), endpoint=endpoint, at=timezone.now())
        messages.success(request, _("The webhook is gone. The events it told of stay."))
        return redirect("webhooks:list")
    return render(request, "hosting/webhook_remove.html", {"endpoint": endpoint})


@login_required
@require_safe
def delivery(request: HttpRequest, uuid: UUID, delivery_uuid: UUID) -> HttpResponse:
    """One delivery: what was sent, what came back, and how long that took."""
    found = _load_delivery(_load(request, uuid), delivery_uuid)
    document = feed.document(found.event, names=feed.names())
    context = {
        "endpoint": found.endpoint,
        "delivery": found,
        "public_id": public_ids.encode("whd", found.uuid),
        "event_id": (document or {}).get("id", ""),
        "body": json.dumps(document, indent=2),
        "attempts": found.attempts.order_by("-pk")[:PAGE_LENGTH],
        "may_be_sent_again": found.may_be_sent_again and found.endpoint.is_enabled,
        "most_tries": len(sending.WAITS) + 1,
    }
    return render(request, "hosting/webhook_delivery.html", context)


@login_required
@require_POST
def send_again(request: HttpRequest, uuid: UUID, delivery_uuid: UUID) -> HttpResponse:
    """Start a delivery anew."""
    found = _load_delivery(_load(request, uuid), delivery_uuid)
    try:
        endpoints.send_again(actor=actor_of(request), delivery=found, at=timezone.now())
    except WrongState as refusal:
        messages.error(request, str(refusal))
    else:
        messages.success(request, _("It is on its way again, with the same id."))
    return redirect("webhooks:delivery", uuid=uuid, delivery_uuid=delivery_uuid)


def _must_keep_any(request: HttpRequest) -> Actor:
    """The actor, who keeps the keys of an organisation; raises `Forbidden`."""
    actor = actor_of(request)
    actor.must(Capability.MANAGE_KEYS, lineage=tuple(actor.organisation_ids))
    return actor


def _kept(actor: Actor) -> QuerySet[WebhookEndpoint]:
    visible = WebhookEndpoint.objects.visible_to(actor.only_with(Capability.MANAGE_KEYS))
    return visible.select_related("organisation__parent__parent")


def _load(request: HttpRequest, uuid: UUID) -> WebhookEndpoint:
    """The endpoint if the person keeps it; any other is as absent."""
    return get_object_or_404(_kept(actor_of(request)), uuid=uuid)


def _load_delivery(endpoint: WebhookEndpoint, uuid: UUID) -> WebhookDelivery:
    found = WebhookDelivery.objects.filter(endpoint=endpoint)
    loaded = get_object_or_404(found.select_related("event__organisation"), uuid=uuid)
    loaded.endpoint = endpoint
    return loaded


def _organisations(actor: Actor) -> QuerySet[Organisation]:
    """Those whose member the person is, in charge of their keys; for staff the house itself."""
    keeping = actor.only_with(Capability.MANAGE_KEYS)
    found = Organisation.objects.filter(pk__in=keeping.organisation_ids)
    if keeping.is_staff:
        found |= Organisation.objects.filter(kind=Organisation.Kind.PROVIDER)
    return found.select_related("parent__parent").order_by("pk")


def _page(rows: QuerySet[Any], after: str) -> tuple[list[Any], int | None]:
    """One page behind a key, and the key behind which the next one begins."""
    if after.isascii() and after.isdigit():
        rows = rows.filter(pk__lt=int(after[:_LONGEST_KEY]))
    page = list(rows[: PAGE_LENGTH + 1])
    return page[:PAGE_LENGTH], page[PAGE_LENGTH - 1].pk if len(page) > PAGE_LENGTH else None


def _act(
    request: HttpRequest, uuid: UUID, verb: Callable[..., object], done: str, **more: Any
) -> HttpResponse:
    endpoint = _load(request, uuid)
    try:
        verb(actor=actor_of(request), endpoint=endpoint, at=timezone.now(), **more)
    except WrongState as refusal:
        messages.error(request, str(refusal))
    else:
        messages.success(request, done)
    return redirect("webhooks:detail", uuid=uuid)


def _form_page(
    request: HttpRequest, form: Any, *, title: str, endpoint: WebhookEndpoint | None = None
) -> HttpResponse:
    context = {"form": form, "form_title": title, "endpoint": endpoint}
    status = 422 if form.errors else 200
    return render(request, "hosting/webhook_form.html", context, status=status)


def _keep_secret(request: HttpRequest, made: endpoints.Made) -> None:
    """The secret waits in the session to be shown once."""
    shown_once.keep(request.session, made.secret, of=f"webhook {made.endpoint.uuid}")


def _take_secret(request: HttpRequest, endpoint: WebhookEndpoint) -> str | None:
    return shown_once.take(request.session, of=f"webhook {endpoint.uuid}")
