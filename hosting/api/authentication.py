"""Who calls: a program with an API key, and nobody by a cookie."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from django.http import HttpRequest
from django.utils import timezone
from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request

from accounts import arriving, keyring, rate_limits
from accounts.access import Actor, Door
from accounts.models import ApiKey
from hosting.api.problems import Problem

_CHALLENGE = {"WWW-Authenticate": "Bearer"}


class BearerAuthentication(BaseAuthentication):
    """`Authorization: Bearer rst_…` and nothing else."""

    def authenticate(self, request: Request) -> tuple[Actor, ApiKey]:
        """The actor and the key; raises `keyring.KeyRefused` or a `Problem`."""
        scheme, _, secret = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not secret:
            detail = "Send your API key in the header `Authorization: Bearer rst_…`."
            raise Problem(code="unauthenticated", detail=detail, headers=_CHALLENGE)
        address, at = address_of(request), timezone.now()
        try:
            api_key = keyring.authenticate(secret=secret.strip(), address=address, at=at)
        except keyring.KeyRefused:
            _count_failure(request, address, at=at)
            raise
        origin = arriving.origin_of(request, door=Door.API)
        return replace(keyring.actor_with(api_key), origin=origin), api_key


def _count_failure(request: Request, address: str, *, at: datetime) -> None:
    """Whoever tries many keys is slowed down; raises a problem instead of the refusal then."""
    bucket = rate_limits.of_failed_keys(address)
    result = rate_limits.take(bucket, at=at, when_away="closed")
    _note(request, result)
    if not result.allowed:
        raise too_many(result)


def limit_rate(request: Request, api_key: ApiKey, *, at: datetime) -> None:
    """Count this call for its key and its organisation; raises a problem beyond the limit.

    While nobody can count, everybody is let through: they have shown who they are.
    """
    wanted = rate_limits.of_key(str(api_key.uuid), str(api_key.organisation_id))
    result = rate_limits.take(*wanted, at=at, when_away="open")
    _note(request, result)
    if not result.allowed:
        raise too_many(result)


def _note(request: Request, result: rate_limits.Result) -> None:
    """The middleware puts these on whatever becomes the answer."""
    request._request.rate_limit_headers = rate_limits.headers(result)  # type: ignore[attr-defined]  # noqa: SLF001


def limits_told(request: HttpRequest) -> dict[str, str]:
    """The headers about limits for an answer: of the key or, without one, of its address."""
    noted: dict[str, str] | None = getattr(request, "rate_limit_headers", None)
    if noted is not None:
        return noted
    bucket = rate_limits.of_failed_keys(address_of(request))
    return rate_limits.headers(rate_limits.look(bucket, at=timezone.now()))


def too_many(result: rate_limits.Result) -> Problem:
    """Come again later."""
    detail = f"Ask again in {result.retry_after_seconds} seconds."
    return Problem(code="rate-limited", detail=detail, headers=rate_limits.headers(result))


def address_of(request: Request | HttpRequest) -> str:
    """From where the call comes: the peer, which a proxy in front must set right."""
    return str(request.META.get("REMOTE_ADDR", ""))
