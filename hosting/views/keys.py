"""API keys: which there are, a new one shown once, another secret, and the end of one."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TypeVar
from urllib.parse import urlencode
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.db.models import Model, Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts import keyring
from accounts.access import Actor, Capability
from accounts.models import ApiKey, ApiKeyQuerySet, Organisation, below
from accounts.stepping_up import needs_fresh_proof
from hosting import shown_once
from hosting.forms.keys import KeyForm, RotateForm
from hosting.key_lines import KeyLine
from hosting.views import actor_of

PAGE_LENGTH = 50
_LONGEST_NUMBER = 18
Row = TypeVar("Row", bound=Model)


@login_required
@never_cache
@require_safe
def key_list(request: HttpRequest) -> HttpResponse:
    """The keys of all that the person owns, newest first."""
    actor = actor_of(request)
    owner = _owner(actor)
    found = _kept(owner).with_reach().order_by("-pk")
    search = request.GET.get("q", "").strip()[:120]
    if request.GET.get("state") != "all":
        found = found.working(at=timezone.now())
    if search:
        wanted = Q(label__icontains=search) | Q(organisation__name__icontains=search)
        found = found.filter(wanted | Q(hint=search.lstrip("…")))
    shown, next_url = _page_of(request, found)
    at = timezone.now()
    context = {
        "lines": [KeyLine.of(each, reader=actor, at=at) for each in shown],
        "search": search,
        "shows_all": request.GET.get("state") == "all",
        "next_url": next_url,
        "is_first_page": not request.GET.get("after"),
    }
    return render(request, "hosting/keys.html", context)


@login_required
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def make(request: HttpRequest) -> HttpResponse:
    """A new key."""
    actor = actor_of(request)
    return _make(request, actor, _owner(actor))


@needs_fresh_proof
def _make(request: HttpRequest, actor: Actor, owner: Actor) -> HttpResponse:
    owned = Organisation.objects.filter(pk__in=owner.organisation_ids)
    below = Organisation.objects.visible_to(owner).exclude(pk__in=owner.organisation_ids)
    form = KeyForm(request.POST or None, owned=owned.exclude(state="closed"), below=below)
    if request.method == "POST" and form.is_valid():
        made = _made(form, actor)
        if made is not None:
            return _to_secret(request, made)
    status = 422 if form.errors else 200
    return render(request, "hosting/key_make.html", {"form": form}, status=status)


def _made(form: KeyForm, actor: Actor) -> keyring.Made | None:
    """The key that the form asks for; without one, the form says why."""
    asked = form.cleaned_data
    try:
        return keyring.make(
            actor=actor,
            organisation=asked["organisation"],
            label=asked["label"],
            scopes=asked["scopes"],
            only_for=asked.get("only_for", ()),
            networks=asked["networks"],
            expires_at=form.expires_at,
            is_test=asked["mode"] == "test",
            at=timezone.now(),
        )
    except keyring.BadKey as refusal:
        form.add_error("expires_on" if refusal.field == "expires_at" else None, str(refusal))
    except keyring.BeyondOwnReach as refusal:
        form.add_error("only_for", str(refusal))
    return None


@login_required
@never_cache
@require_safe
def secret(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """The secret of a key that was made just now; whoever comes again finds it gone."""
    api_key = _load(actor_of(request), uuid)
    shown = shown_once.take(request.session, of=f"key {api_key.uuid}")
    if shown is None:
        return redirect("keys:detail", uuid=uuid)
    context = {"api_key": api_key, "secret": shown, "at": timezone.now()}
    return render(request, "hosting/key_secret.html", context)


def _to_secret(request: HttpRequest, made: keyring.Made) -> HttpResponse:
    """Put the secret where the next page takes it from."""
    uuid = made.api_key.uuid
    shown_once.keep(request.session, made.secret, of=f"key {uuid}")
    return redirect("keys:secret", uuid=uuid)


@login_required
@never_cache
@require_safe
def detail(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """One key, and everything that was done with it."""
    actor = actor_of(request)
    api_key = _load(actor, uuid)
    at = timezone.now()
    deeds, next_url = _page_of(request, api_key.deeds().select_related("organisation"))
    made = keyring.made_with(api_key).visible_to(_owner(actor)).working(at=at).with_reach()
    shown = made.order_by("-pk")[:PAGE_LENGTH]
    context = {
        "line": KeyLine.of(api_key, reader=actor, at=at),
        "deeds": deeds,
        "next_url": next_url,
        "is_first_page": not request.GET.get("after"),
        "made": [KeyLine.of(each, reader=actor, at=at) for each in shown],
        "made_count": made.count(),
    }
    return render(request, "hosting/key.html", context)


@login_required
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def rotate(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Another secret for the same rights."""
    return _rotate(request, _load(actor_of(request), uuid))


@needs_fresh_proof
def _rotate(request: HttpRequest, api_key: ApiKey) -> HttpResponse:
    actor = actor_of(request)
    form = RotateForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            made = keyring.rotate(
                actor=actor,
                api_key=api_key,
                overlap=timedelta(seconds=form.cleaned_data["overlap"]),
                at=timezone.now(),
            )
        except keyring.KeyGone as refusal:
            form.add_error(None, str(refusal))
        else:
            return _to_secret(request, made)
    context = {"form": form, "line": KeyLine.of(api_key, reader=actor, at=timezone.now())}
    status = 422 if form.errors else 200
    return render(request, "hosting/key_rotate.html", context, status=status)


@login_required
@require_POST
def revoke(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """The end of a key, at once."""
    return _revoke(request, uuid, with_made=False)


@login_required
@require_POST
def revoke_with_made(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """The end of a key and of all that were made with it."""
    return _revoke(request, uuid, with_made=True)


def _revoke(request: HttpRequest, uuid: UUID, *, with_made: bool) -> HttpResponse:
    actor = actor_of(request)
    count = keyring.revoke(
        actor=actor, api_key=_load(actor, uuid), with_made=with_made, at=timezone.now()
    )
    text = ngettext(
        "%(count)s key was revoked and opens nothing any more.",
        "%(count)s keys were revoked and open nothing any more.",
        count,
    )
    told = text % {"count": count} if count else _("It had been revoked before.")
    messages.success(request, told)
    return redirect("keys:detail", uuid=uuid)


def _owner(actor: Actor) -> Actor:
    """The actor with what they own; staff revoke others' keys on the staff pages. `Forbidden`."""
    owner = replace(actor.only_with(Capability.MANAGE_KEYS), is_staff=False)
    owner.must(Capability.MANAGE_KEYS, lineage=tuple(owner.organisation_ids))
    return owner


def _kept(owner: Actor) -> ApiKeyQuerySet:
    """The keys of what the person owns and of all below it; for operators those of the house."""
    of_house = Q(organisation__in=owner.organisation_ids)
    return ApiKey.objects.filter(of_house | below(owner.as_member(), "organisation__"))


def _load(actor: Actor, uuid: UUID) -> ApiKey:
    """The key; a stranger's is as absent, and who may see it without owning it is forbidden."""
    visible = ApiKey.objects.visible_to(actor).with_reach()
    api_key = get_object_or_404(visible, uuid=uuid)
    keyring.must_own(actor, api_key.organisation)
    return api_key


def _page_of(request: HttpRequest, found: QuerySet[Row]) -> tuple[list[Row], str]:
    """One page by key, newest first, and the address of the next one with the same search."""
    after = request.GET.get("after", "")
    if after.isascii() and after.isdigit():
        found = found.filter(pk__lt=int(after[:_LONGEST_NUMBER]))
    rows = list(found[: PAGE_LENGTH + 1])
    shown = rows[:PAGE_LENGTH]
    if len(rows) <= PAGE_LENGTH:
        return shown, ""
    query = {name: request.GET[name] for name in ("q", "state") if name in request.GET}
    return shown, "?" + urlencode(query | {"after": shown[-1].pk})
