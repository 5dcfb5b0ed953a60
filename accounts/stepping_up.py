"""What asks again who sits there: a second factor, or else the password, of a moment ago.

    @needs_fresh_proof
    def make(request): ...

On the staff pages every change is asked about but those named here (`SecondFactorMiddleware`). What
is done to many rows at once has a rule of its own besides (`hosting.bulk.ask`).

Whoever has a second factor proves it; whoever has none types the password. Nothing that was typed
is lost: what a form sent meanwhile is kept in the session, without secrets, and is offered again.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import wraps
from typing import Any, Concatenate, ParamSpec, cast
from urllib.parse import urlencode, urlsplit

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone
from django.utils.http import url_has_allowed_host_and_scheme
from django_htmx.http import HttpResponseClientRedirect

from accounts import visits
from accounts.models import User
from accounts.second_factor import devices

FRESH_FOR = timedelta(minutes=10)
_STAFF = "/staff/"
# What staff change below these asks nobody again.
UNASKED_OF_STAFF = (
    # Going away.
    "/staff/logout/",
    # It asks by itself for what is grave, and above a size.
    "/staff/hosting/bulkrequest/",
    # Nothing comes of a list before it was looked at; customers bring theirs without being asked.
    "/staff/hosting/mailboximport/",
    # Letters, deliveries and work that were due already and are tried again.
    "/staff/accounts/notice/",
    "/staff/accounts/setback/",
    "/staff/hosting/webhookdelivery/",
)
# Session keys: when this browser last proved the second factor and the password, in seconds since
# 1970, and the forms that wait for it.
_PROVED_AT = "second_factor_proved_at"
_PASSWORD_AT = "password_proved_at"  # noqa: S105  # a name, not a password
_KEPT = "kept_forms"
# Somebody with more tabs than that types the oldest form again.
_MOST_KEPT = 3
_MOST_KEPT_CHARACTERS = 100_000
# Nothing that somebody could use later is kept, and the token is made anew.
_NEVER_KEPT = ("password", "secret", "token")

P = ParamSpec("P")
View = Callable[Concatenate[HttpRequest, P], HttpResponse]


@dataclass(frozen=True, kw_only=True)
class KeptForm:
    """What somebody sent and has to send again: where to, and its fields in their order."""

    path: str
    fields: list[tuple[str, str]]
    # Whether something was left out that has to be typed or chosen again.
    is_whole: bool


def note(request: HttpRequest, *, at: datetime) -> None:
    """This browser has just proved the second factor."""
    request.session[_PROVED_AT] = int(at.timestamp())


def note_password(request: HttpRequest, *, at: datetime) -> None:
    """This browser has just proved the password."""
    request.session[_PASSWORD_AT] = int(at.timestamp())


def is_fresh(request: HttpRequest, *, at: datetime) -> bool:
    """Whether it did so a moment ago, with a device that is still enrolled.

    A password says enough for those alone who have nothing better.
    """
    if request.user.is_verified():  # type: ignore[union-attr]
        return _is_recent(request, _PROVED_AT, at=at)
    if not _is_recent(request, _PASSWORD_AT, at=at):
        return False
    return not devices.has_any(cast("User", request.user))


def asks_staff(path: str) -> bool:
    """Whether a change on this page of staff needs a proof of a moment ago."""
    return path.startswith(_STAFF) and not path.startswith(UNASKED_OF_STAFF)


def _is_recent(request: HttpRequest, key: str, *, at: datetime) -> bool:
    proved_at = request.session.get(key)
    if proved_at is None:
        return False
    age = int(at.timestamp()) - int(proved_at)
    return 0 <= age < FRESH_FOR.total_seconds()


def needs_fresh_proof(view: View[P]) -> View[P]:
    """Lead whoever has no fresh proof to it first, and from there back, with what was typed."""

    @wraps(view)
    def asked_first(request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponse:
        if is_fresh(request, at=timezone.now()):
            return view(request, *args, **kwargs)
        return ask(request)

    return asked_first


def changes_need_fresh_proof(view: View[P]) -> View[P]:
    """The same for pages that show things and take a form as well: looking asks for nothing."""
    careful = needs_fresh_proof(view)

    @wraps(view)
    def asked_for_changes(
        request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs
    ) -> HttpResponse:
        is_change = request.method not in {"GET", "HEAD"}
        return (careful if is_change else view)(request, *args, **kwargs)

    return asked_for_changes


def ask(request: HttpRequest) -> HttpResponse:
    """The way to the proof, and from there to where the request wanted to go."""
    target = request.get_full_path()
    if request.method not in {"GET", "HEAD"}:
        kept = _keep(request)
        target = reverse("accounts:go_on", args=[kept]) if kept else came_from(request)
    name = "second_factor" if devices.has_any(cast("User", request.user)) else "password_again"
    where = f"{reverse(f'accounts:{name}')}?{urlencode({'next': target})}"
    if "HX-Request" in request.headers:
        return HttpResponseClientRedirect(where)
    return HttpResponseRedirect(where)


def came_from(request: HttpRequest) -> str:
    """The page of the panel on which the form stood, as the browser says, or the first one."""
    said = request.headers.get("HX-Current-URL") or request.headers.get("Referer", "")
    is_ours = url_has_allowed_host_and_scheme(said, allowed_hosts={request.get_host()})
    parts = urlsplit(said if is_ours else "")
    return parts._replace(scheme="", netloc="").geturl() or reverse("dashboard:overview")


def _keep(request: HttpRequest) -> str:
    """The name under which the form waits in the session; nothing if it is too large for it."""
    sent = [(name, text) for name, texts in request.POST.lists() for text in map(str, texts)]
    fields = [(name, text) for name, text in sent if not _is_secret(name)]
    if sum(len(name) + len(text) for name, text in fields) > _MOST_KEPT_CHARACTERS:
        return ""
    secret_names = {name for name, _text in sent if _is_secret(name)} - {"csrfmiddlewaretoken"}
    form = {
        "path": request.get_full_path(),
        "fields": fields,
        "is_whole": not secret_names and not request.FILES,
        "acts_in": request.session.get(visits.SESSION_KEY),
    }
    key = secrets.token_urlsafe(8)
    waiting: dict[str, Any] = request.session.get(_KEPT, {})
    newest = list(waiting.items())[-(_MOST_KEPT - 1) :]
    request.session[_KEPT] = dict([*newest, (key, form)])
    return key


def _is_secret(name: str) -> bool:
    return name == "code" or any(word in name.lower() for word in _NEVER_KEPT)


def kept(request: HttpRequest, key: str) -> KeptForm | None:
    """The form that waits under this name, which goes on waiting.

    One that somebody filled in for a customer is not offered to them as themselves, nor the other
    way round.
    """
    form = request.session.get(_KEPT, {}).get(key)
    if form is None or form.get("acts_in") != request.session.get(visits.SESSION_KEY):
        return None
    fields = [(str(name), str(text)) for name, text in form["fields"]]
    return KeptForm(path=form["path"], fields=fields, is_whole=form["is_whole"])


def forget_kept(request: HttpRequest, key: str) -> None:
    """The form has been offered."""
    waiting = request.session.get(_KEPT, {})
    if waiting.pop(key, None) is not None:
        request.session[_KEPT] = waiting
