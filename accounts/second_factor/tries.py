"""How often a code may be tried, so that guessing is slow and nobody is shut out for ever.

As with passwords (`accounts.signing_in`): each try takes a turn, and the right code gives it back.
Wherever the person proved a second factor before, the turns that others used up elsewhere do not
count, so who has the password alone cannot keep its owner out.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.utils.translation import gettext as _

from accounts import holding_back, keys, rate_limits, signing_in
from accounts.models import KnownAddress, User
from accounts.rate_limits import Bucket, Policy

_HOUR_SECONDS = 3600
# Of one person from all addresses where no factor was proved yet, taken together. One guess in
# 333,000 is right, so this is one in eight years for somebody who has the password and never stops.
ELSEWHERE = rate_limits.ten_an_hour("second-factor")
# Of one person from one address where one was.
AT_HOME = rate_limits.ten_an_hour("second-factor-known")
# Of one address at all people, sixty at once and one a minute.
ADDRESS = Policy(name="second-factor-address", limit=60, window_seconds=_HOUR_SECONDS)
# Of one address for passkeys that are shown instead of a password.
CHALLENGES = Policy(name="passkey-challenges", limit=120, window_seconds=_HOUR_SECONDS)
# Of one person's letters with a link for whoever lost the factor.
LETTERS = Policy(name="lost-factor-letters", limit=3, window_seconds=_HOUR_SECONDS)


@dataclass(frozen=True, kw_only=True)
class Try:
    """One try that may be made: the turns it took."""

    holder: str
    buckets: tuple[Bucket, ...]


def begin(*, user: User, address: str, at: datetime) -> Try:
    """Let somebody try a code; raises `signing_in.NotNow`."""
    holder = keys.holder_of(address)
    is_known = KnownAddress.objects.filter(
        user=user, holder=holder, proved_at__isnull=False
    ).exists()
    person = (
        Bucket(policy=AT_HOME, who=f"{user.pk} {holder}")
        if is_known
        else Bucket(policy=ELSEWHERE, who=str(user.pk))
    )
    wanted = (person, Bucket(policy=ADDRESS, who=holder))
    _take(*wanted, at=at)
    return Try(holder=holder, buckets=wanted)


def begin_unknown(*, address: str, at: datetime) -> None:
    """Somebody asks for a challenge without saying who; raises `signing_in.NotNow`.

    There is nothing to guess, but each challenge is a row that waits.
    """
    _take(Bucket(policy=CHALLENGES, who=keys.holder_of(address)), at=at)


def begin_letter(*, user: User, at: datetime) -> None:
    """Another letter to whoever lost the factor; raises `signing_in.NotNow`."""
    _take(Bucket(policy=LETTERS, who=str(user.pk)), at=at)


def _take(*wanted: Bucket, at: datetime) -> None:
    holding_back.take(
        *wanted,
        at=at,
        too_often=_("Too many tries."),
        away=_("No code can be looked at just now."),
    )


def passed(tried: Try, *, user: User, at: datetime) -> None:
    """The code was right: nothing of the try counts, and the address is known from now on."""
    rate_limits.give_back(*tried.buckets, at=at)
    signing_in.know(user=user, holder=tried.holder, at=at, has_proved=True)
