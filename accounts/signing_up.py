"""Opening an account by oneself: an address, a letter with a link, then the rest.

Whoever types an address hears the same, after the same work, whether or not somebody has it: the
page writes down what was typed, and a worker looks whose it is. Only whoever reads letters to the
address goes on, so that an account begins with a confirmed one.
"""

from __future__ import annotations

from datetime import datetime

from django.db import IntegrityError, transaction

from accounts import address_changes, holding_back, keys, links, membership, notices, outbox
from accounts.access import Origin
from accounts.models import SignUpRequest, User, UserManager
from accounts.rate_limits import Bucket, Policy

_HOUR_SECONDS = 3600
_OF_ACCOUNT = Policy(name="sign-up-letter", limit=3, window_seconds=_HOUR_SECONDS)
# An office behind one address has room for a course of newcomers, each of whom asks for a letter
# and then opens an account, which makes a customer.
_NEWCOMERS_FROM_ONE_PLACE = 20
_ASKED_FROM = Policy(
    name="sign-up-address", limit=_NEWCOMERS_FROM_ONE_PLACE, window_seconds=_HOUR_SECONDS
)
_OPENED_FROM = Policy(
    name="open-account", limit=_NEWCOMERS_FROM_ONE_PLACE, window_seconds=_HOUR_SECONDS
)
_GONE = "This link was used already, or is too old."


def ask(*, email: str, seller_id: int | None, address: str, at: datetime) -> None:
    """Have a letter sent to `email` by which its reader goes on.

    `seller_id` is whose host was called, None for the house's own, and `address` from where
    somebody asks. Raises `NotNow`, `NoProvider` or `SellerStopped`; none of them depends on whether
    somebody has the address.
    """
    typed = UserManager.canonical(email)
    holding_back.take(
        Bucket(policy=_OF_ACCOUNT, who=typed),
        Bucket(policy=_ASKED_FROM, who=keys.holder_of(address)),
        at=at,
        too_often="Several letters were asked for. The link in any of them works.",
        away="No account can be opened just now.",
    )
    membership.must_take_customers(seller_id)
    SignUpRequest.objects.create(email=typed, seller_id=seller_id, asked_at=at)
    outbox.nudge("accounts.answer_sign_up_requests")


def answer_requests(*, at: datetime, limit: int = 200) -> int:
    """Write the letters that were asked for, the oldest first; returns how many were written."""
    written = 0
    for request in SignUpRequest.objects.select_related("seller").order_by("pk")[:limit]:
        with transaction.atomic():
            # Whoever takes the row away writes the letter, so that two workers do not both.
            if not SignUpRequest.objects.filter(pk=request.pk).delete()[0]:
                continue
            is_taken = address_changes.is_taken(request.email, at=at)
            notices.write(
                to=request.email,
                organisation=request.seller,
                name="sign_up_known" if is_taken else "sign_up",
                context={} if is_taken else {"signs_up": request.seller_id},
                at=at,
            )
            written += 1
    return written


def found(token: str, *, seller_id: int | None, at: datetime) -> links.SignUp:
    """Who may open an account by the link, and below whom; raises `links.NotValid`.

    Where a reseller's own host name was called (`seller_id`), links to others open nothing.
    """
    newcomer = links.signs_up(token)
    is_elsewhere = seller_id is not None and seller_id != newcomer.seller_id
    if is_elsewhere or address_changes.is_taken(newcomer.email, at=at):
        raise links.NotValid(_GONE)
    return newcomer


def open_account(
    *,
    newcomer: links.SignUp,
    password: str,
    name: str,
    organisation_name: str,
    address: str,
    at: datetime,
    origin: Origin | None = None,
) -> User:
    """The account of whoever came by a link, once for each; `address` is from where they came.

    Raises `NotNow`, `links.NotValid`, `NoProvider` or `SellerStopped`.
    """
    holding_back.take(
        Bucket(policy=_OPENED_FROM, who=keys.holder_of(address)),
        at=at,
        too_often="Many accounts were opened from here. This one was not.",
        # Whoever has a link was counted when asking for it.
        away=None,
    )
    try:
        return membership.sign_up(
            email=newcomer.email,
            password=password,
            name=name,
            organisation_name=organisation_name,
            seller_id=newcomer.seller_id,
            at=at,
            origin=origin,
        )
    except IntegrityError as error:
        # Somebody used the same link at the same moment.
        if not User.objects.filter(email=newcomer.email).exists():
            raise
        raise links.NotValid(_GONE) from error
