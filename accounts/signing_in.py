"""How often somebody may try to sign in, so that guessing is slow and owners are not shut out.

Each try takes a turn before the password is looked at, and the right one gives it back. Wherever
somebody signed in before, the turns that strangers used up elsewhere do not count.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.db import transaction
from django.utils.translation import gettext as _

from accounts import holding_back, keys, rate_limits
from accounts.holding_back import NobodyCounts, NotNow
from accounts.holding_back import TooOften as TooManyTries
from accounts.models import KnownAddress, KnownBrowser, User
from accounts.rate_limits import Bucket, Policy

__all__ = ["NobodyCounts", "NotNow", "TooManyTries", "Try", "begin", "passed"]

# Of one account from all addresses where nobody has signed in to it, taken together.
ELSEWHERE = rate_limits.ten_an_hour("sign-in")
# Of one account from one address where somebody has.
AT_HOME = rate_limits.ten_an_hour("sign-in-known")
# Of one address at all accounts, sixty at once and one a minute: enough for an office in which
# many mistype.
ADDRESS = Policy(name="sign-in-address", limit=60, window_seconds=3600)
# How many addresses are remembered for each person, the latest ones.
MOST_KNOWN = 20


@dataclass(frozen=True, kw_only=True)
class Try:
    """One try that may be made: the turns it took."""

    holder: str
    buckets: tuple[Bucket, ...]
    # Whether somebody has signed in to the account from there before.
    is_known: bool


def begin(*, email: str, address: str, at: datetime) -> Try:
    """Let somebody try a password; raises `NotNow`.

    It makes no difference whether there is such an account.
    """
    holder = keys.holder_of(address)
    is_known = KnownAddress.objects.filter(user__email=email, holder=holder).exists()
    account = (
        Bucket(policy=AT_HOME, who=f"{email} {holder}")
        if is_known
        else Bucket(policy=ELSEWHERE, who=email)
    )
    wanted = (account, Bucket(policy=ADDRESS, who=holder))
    holding_back.take(
        *wanted,
        at=at,
        too_often=_("Too many tries."),
        away=_("Nobody can sign in just now."),
    )
    return Try(holder=holder, buckets=wanted, is_known=is_known)


def passed(tried: Try, *, user: User, at: datetime) -> None:
    """The password was right: nothing of the try counts, and the address is known from now on."""
    rate_limits.give_back(*tried.buckets, at=at)
    know(user=user, holder=tried.holder, at=at)


def knows_password(*, user: User, password: str, address: str, at: datetime) -> bool:
    """Whether somebody who is signed in knows the password too, which an open session does not say.

    A try counts as one of signing in; raises `NotNow`.
    """
    tried = begin(email=user.email, address=address, at=at)
    if not user.check_password(password):
        return False
    passed(tried, user=user, at=at)
    return True


def is_home(*, user: User, address: str) -> bool:
    """Whether the person has signed in from there before."""
    return KnownAddress.objects.filter(user=user, holder=keys.holder_of(address)).exists()


def know(*, user: User, holder: str, at: datetime, has_proved: bool = False) -> None:
    """The person is at home there from now on; `holder` is what `keys.holder_of` says.

    `has_proved` says that a second factor was proved there, without which nobody is at home for
    codes. The latest addresses only are remembered.
    """
    seen = {"last_at": at, "proved_at": at} if has_proved else {"last_at": at}
    with transaction.atomic():
        KnownAddress.objects.update_or_create(user=user, holder=holder, defaults=seen)
        known = KnownAddress.objects.filter(user=user).order_by("-last_at", "-pk")
        kept = list(known.values_list("pk", flat=True)[:MOST_KNOWN])
        KnownAddress.objects.filter(user=user).exclude(pk__in=kept).delete()


def forget_everywhere(user: User) -> None:
    """The person is at home nowhere any more: whoever else was, tries as a stranger again."""
    KnownAddress.objects.filter(user=user).delete()
    KnownBrowser.objects.filter(user=user).delete()
