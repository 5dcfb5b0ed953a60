"""How often pages may be asked for, and how often what costs others something.

Passwords, codes and API keys are counted where they are tried, and newcomers where they sign up
(`accounts.signing_up`). Here stands what is left: whoever
asks for so many pages that others wait, and the few that send letters, set PDFs, take pictures
apart or call other servers. Turns come back evenly, so nobody is shut out for longer than it
takes for one of them to come back.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.utils import timezone

from accounts import keys, rate_limits
from accounts.middleware import WITHOUT_PEOPLE
from accounts.rate_limits import Bucket, Policy

GetResponse = Callable[[HttpRequest], HttpResponse]

_MINUTE_SECONDS = 60
_HOUR_SECONDS = 3600
# Programs are counted by their keys (`accounts.rate_limits`), and health checks by nobody.
_COUNTED_ELSEWHERE = ("api:",)
_NEVER_COUNTED = frozenset({"public:health", "tls:allowed", "payments:stripe_webhook"})


@dataclass(frozen=True, kw_only=True)
class Cost:
    """How often something may be done by one person, or by one address if nobody is signed in.

    `counts_reading` says whether looking counts too; else only what is sent does.
    """

    policy: Policy
    counts_reading: bool = False


def _an_hour(name: str, limit: int, *, counts_reading: bool = False) -> Cost:
    policy = Policy(name=name, limit=limit, window_seconds=_HOUR_SECONDS)
    return Cost(policy=policy, counts_reading=counts_reading)


_LETTERS = _an_hour("letters", 60)
_PAPERS = _an_hour("papers", 240, counts_reading=True)
_FILES = _an_hour("files", 240, counts_reading=True)
_PICTURES = _an_hour("pictures", 60)
_CALLS = _an_hour("calls", 120)
_LISTS = _an_hour("lists", 30)
_SECRETS = _an_hour("secrets", 120)

# What each of these routes costs, beside the turn that every page takes.
COSTS: Mapping[str, Cost] = {
    "accounts:invitation": _an_hour("invitation", 60),
    "customers:invite": _LETTERS,
    "customers:open": _LETTERS,
    "mailboxes:send_test": _LETTERS,
    "billing:invoice_pdf": _PAPERS,
    "billing:statement_pdf": _PAPERS,
    "billing:invoice_lines": _FILES,
    "billing:usage": _FILES,
    "billing:mailbox_usage": _FILES,
    "customers:export": _FILES,
    "billing:set_logo": _PICTURES,
    "look:try_out": _PICTURES,
    "look:claim_host": _CALLS,
    "look:look_at_host": _CALLS,
    "domains:look": _CALLS,
    "webhooks:ping": _CALLS,
    "webhooks:send_again": _CALLS,
    "billing:pay": _CALLS,
    "customers:import": _LISTS,
    "keys:make": _SECRETS,
    "keys:rotate": _SECRETS,
    "webhooks:make": _SECRETS,
    "webhooks:rotate": _SECRETS,
    "mailboxes:add_app_password": _SECRETS,
    "mailboxes:set_password": _SECRETS,
}


class ThrottlingMiddleware:
    """Answers 429 to whoever asks too often; a page that is refused costs nothing more."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_view(
        self, request: HttpRequest, _view: Any, _args: Any, _kwargs: Any
    ) -> HttpResponse | None:
        """Take the turns of a request; while nobody can count, everybody is let through."""
        match = request.resolver_match
        name = "" if match is None else match.view_name
        if name.startswith(_COUNTED_ELSEWHERE) or name in _NEVER_COUNTED:
            return None
        result = rate_limits.take(*_wanted(request, name), at=timezone.now(), when_away="open")
        return None if result.allowed else _too_often(result.retry_after_seconds)


def _wanted(request: HttpRequest, name: str) -> list[Bucket]:
    has_people = not request.path_info.startswith(WITHOUT_PEOPLE)
    if has_people and request.user.is_authenticated:
        who, name_of_policy = f"person {request.user.pk}", "pages"
    else:
        who = keys.holder_of(str(request.META.get("REMOTE_ADDR", "")))
        name_of_policy = "pages-address"
    limit = settings.RATE_LIMIT_PAGES_PER_MINUTE
    pages = Policy(name=name_of_policy, limit=limit, window_seconds=_MINUTE_SECONDS)
    wanted = [Bucket(policy=pages, who=who)]
    cost = COSTS.get(name)
    if cost is not None and (cost.counts_reading or request.method == "POST"):
        wanted.append(Bucket(policy=cost.policy, who=who))
    return wanted


def _too_often(seconds: int) -> HttpResponse:
    return HttpResponse(
        render_to_string("429.html", {"seconds": seconds}),
        status=HTTPStatus.TOO_MANY_REQUESTS,
        headers={"Retry-After": str(seconds)},
    )
