"""What holds for whole prefixes of the panel, whatever page lies below them."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast
from urllib.parse import urlencode

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import BadRequest, PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import resolve_url
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django_htmx.http import HttpResponseClientRedirect, HttpResponseClientRefresh

from accounts import keys, stepping_up, visits
from accounts.models import User
from accounts.second_factor import demanding
from accounts.session_store import SessionStore

GetResponse = Callable[[HttpRequest], HttpResponse]

# Below these, nobody passes without a second factor, not even who needs none elsewhere.
SECOND_FACTOR_PREFIXES = ("/staff/",)
# All that answers a session which still lacks its second factor: pages for anybody, what programs
# call, and the ways in and out. Pages by themselves, and prefixes with all below them.
OPEN_PAGES = frozenset(
    {
        "/",
        "/estimate",
        "/healthz",
        "/account/sign-in",
        "/account/sign-out",
        "/account/sign-up",
        "/account/sign-up/open",
        "/account/confirm",
    }
)
OPEN_PREFIXES = (
    "/static/",
    "/api/",
    "/brand/",
    "/tls/",
    "/payments/",
    "/.well-known/",
    "/account/invitation/",
    # A link of a letter, or the wish for one, says nothing of who holds the cookie.
    "/account/address/",
    "/account/password/",
)
# On these the person is known nevertheless, because there the factor is proved or enrolled.
FACTOR_PREFIX = "/account/second-factor/"
# Below these nobody is asked for who they are by a cookie, so answers do not vary by it.
WITHOUT_PEOPLE = ("/api/v1/", "/brand/", "/.well-known/")
_OTHER_DOORS = frozenset({"/staff/login/"})


class SessionClientMiddleware:
    """Tells the session which browser comes and from where, and when it came last.

    What a page asks for by itself, again and again, is no sign of its person.
    """

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        session = cast("SessionStore", request.session)
        session.comes_from(
            address=str(request.META.get("REMOTE_ADDR", "")),
            user_agent=request.headers.get("User-Agent", ""),
        )
        response = self.get_response(request)
        if "HX-Request" not in request.headers:
            session.note_use(at=timezone.now())
        return response


class ClientAddressMiddleware:
    """Behind a proxy, tells everybody the address of the client instead of the proxy's own.

    The last entry of the header is what the proxy itself wrote; whatever stands before it came
    from the client. What is no address counts as unknown, and no key may be used from there.
    """

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        forwarded_for = request.headers.get("X-Forwarded-For")
        if settings.IS_BEHIND_PROXY and forwarded_for is not None:
            address = keys.plain_address(forwarded_for.rpartition(",")[2].strip())
            request.META["REMOTE_ADDR"] = "" if address is None else str(address)
        return self.get_response(request)


class PlainQueryMiddleware:
    """Refuses null characters in the query, which no browser sends and no text in PostgreSQL has.

    Pages look up what stands there, and each of them would fail by itself. The API answers for
    its parameters in its own words.
    """

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        query = request.META.get("QUERY_STRING", "")
        if ("%00" in query or "\0" in query) and not request.path_info.startswith("/api/v1/"):
            message = "There is a null character in the query."
            raise BadRequest(message)
        return self.get_response(request)


class SecondFactorMiddleware:
    """Lets nobody on to a page without the second factor that the person has or must have.

    What is not named as open is shut, whichever view answers. Public pages show to a session that
    still lacks its factor what they show to anybody. Whoever is in reads `factor_standing` (None
    for a session that proved its factor) to say what is asked for, and until when.
    """

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        request.factor_standing = None  # type: ignore[attr-defined]
        request.awaits_factor = False  # type: ignore[attr-defined]
        path = request.path_info
        if path.startswith(WITHOUT_PEOPLE):
            # Nor do mishaps there say anything to a person, whatever the cookie would prove.
            request.user = AnonymousUser()
            return self.get_response(request)
        user = request.user
        is_staff_page = path.startswith(SECOND_FACTOR_PREFIXES)
        if not isinstance(user, User) or not user.is_authenticated:
            return _to_sign_in(request) if is_staff_page else self._of_nobody(request)
        if user.is_verified():  # type: ignore[attr-defined]
            return self._of_verified(request)
        standing = demanding.standing(user, at=timezone.now())
        request.factor_standing = standing  # type: ignore[attr-defined]
        if standing.has_factor or standing.must_enrol_now or is_staff_page:
            return self._of_unproved(request)
        return self.get_response(request)

    def _of_nobody(self, request: HttpRequest) -> HttpResponse:
        """Whoever sent a form after the end of the session is led back to where it stood."""
        answer = self.get_response(request)
        if request.method in {"GET", "HEAD"}:
            return answer
        door = f"{reverse('accounts:sign_in')}?next="
        is_asked = isinstance(answer, HttpResponseRedirect) and answer.url.startswith(door)
        return _to_sign_in(request) if is_asked else answer

    def _of_unproved(self, request: HttpRequest) -> HttpResponse:
        """Default deny: the pages of the factor itself, and what shows the same to anybody."""
        path = request.path_info
        request.awaits_factor = True  # type: ignore[attr-defined]
        if path in OPEN_PAGES or path.startswith(OPEN_PREFIXES):
            request.user = AnonymousUser()
        elif not path.startswith(FACTOR_PREFIX):
            return _to_factor(request)
        return self.get_response(request)

    def _of_verified(self, request: HttpRequest) -> HttpResponse:
        """Staff prove it once more before they change something."""
        if request.method in {"GET", "HEAD", "OPTIONS"}:
            return self.get_response(request)
        # Passwords are tried on the one page that counts how often.
        if request.path_info in _OTHER_DOORS:
            return HttpResponseRedirect(reverse("accounts:sign_in"))
        asks = stepping_up.asks_staff(request.path_info)
        if asks and not stepping_up.is_fresh(request, at=timezone.now()):
            return stepping_up.ask(request)
        return self.get_response(request)


def _to_sign_in(request: HttpRequest) -> HttpResponse:
    """To the sign-in, and from there to the page that was asked for.

    What a form sent is kept for nobody, since anybody may be the next to sign in; the sign-in says
    that it was not taken, and leads to the page of the form.
    """
    query = {"next": request.get_full_path()}
    if request.method not in {"GET", "HEAD"}:
        query = {"next": stepping_up.came_from(request), "unsent": "1"}
    return HttpResponseRedirect(f"{reverse('accounts:sign_in')}?{urlencode(query)}")


def _to_factor(request: HttpRequest) -> HttpResponse:
    """To the proof, or to enrolling, and from there to the page that was asked for."""
    is_htmx = "HX-Request" in request.headers
    is_page = request.method in {"GET", "HEAD"} and not is_htmx
    target = request.get_full_path() if is_page else stepping_up.came_from(request)
    where = f"{reverse('accounts:second_factor')}?{urlencode({'next': target})}"
    return HttpResponseClientRedirect(where) if is_htmx else HttpResponseRedirect(where)


class VisitMiddleware:
    """Puts `visit` on requests of somebody who acts in a customer, and ends it when it is over.

    Nothing that was meant for the customer is done after the end in the person's own name: the
    request is answered with the overview instead.
    """

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        request.visit = None  # type: ignore[attr-defined]
        if request.path_info.startswith(WITHOUT_PEOPLE):
            return self.get_response(request)
        key = request.session.get(visits.SESSION_KEY)
        if key is None or not request.user.is_authenticated:
            return self.get_response(request)
        visit = visits.running(key, user=request.user, at=timezone.now())
        if visit is None and request.path_info != reverse("accounts:sign_out"):
            return _over(request)
        if visit is not None and request.path_info.startswith(SECOND_FACTOR_PREFIXES):
            message = f"You act in {visit.organisation}. Leave it first."
            raise PermissionDenied(message)
        request.visit = visit  # type: ignore[attr-defined]
        return self.get_response(request)


def _over(request: HttpRequest) -> HttpResponse:
    visits.forget(request)
    messages.warning(request, _("Your time there is over. You act for yourself again."))
    if "HX-Request" in request.headers:
        return HttpResponseClientRefresh()
    return HttpResponseRedirect(resolve_url(settings.LOGIN_REDIRECT_URL))
