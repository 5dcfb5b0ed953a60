"""Whether Dovecot may look at a password, and what a wrong one costs.

An app password is too long to be guessed, so the right one always gets in. Any other password
takes a turn when it is tried for the first time, before it is looked at, and the right one gives
it back. The same password again takes none: a phone that goes on with an old one locks out
nobody, and learns nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from accounts import rate_limits
from accounts.rate_limits import Bucket, Policy
from mailstore.guard import lookups
from mailstore.guard.attempts import Attempt
from mailstore.guard.lookups import Facts
from mailstore.guard.tally import Tally

# Different passwords for one mailbox from all places where nobody has signed in to it, taken
# together.
ELSEWHERE = rate_limits.ten_an_hour("mail-elsewhere")
# For one mailbox from one place where somebody has.
AT_HOME = rate_limits.ten_an_hour("mail-known")
# From one address for all mailboxes where it is not at home, sixty at once and one a minute: enough
# for an office that moves in.
ADDRESS = Policy(name="mail-address", limit=60, window_seconds=3600)
# A password that was tried so lately takes no new turn. These are shorter than an hour because
# memory that runs out forgets first what would soon be forgotten anyway.
TRIED = Policy(name="mail-tried", limit=1, window_seconds=1800)
# To look at a password costs Dovecot twenty milliseconds, so the same one is not looked at without
# end.
AGAIN = Policy(name="mail-again", limit=20, window_seconds=600)
# This very attempt took a turn, which it gives back if it was right.
PAID = Policy(name="mail-paid", limit=1, window_seconds=120)
# A refused guess that was counted already.
SEEN = Policy(name="mail-seen", limit=1, window_seconds=1800)


@dataclass(frozen=True, kw_only=True)
class Guard:
    """Answers for one process, and adds up what it saw."""

    tally: Tally

    def may_try(self, attempt: Attempt, *, at: datetime, is_late: bool = False) -> bool:
        """Whether Dovecot may look at this password.

        `is_late` says that others wait: then nothing but an app password gets in. A guard that
        answered later would be taken for one that is away.
        """
        facts = lookups.facts_of(attempt)
        if facts.is_app_password:
            return True
        if is_late:
            if facts.exists:
                self._add(attempt, was_looked_at=False, at=at)
            return False
        if not facts.password_hash:
            self._nothing_is_right(attempt, facts, at=at)
            return False
        at_home = lookups.is_at_home(attempt)
        tried = _tried(attempt, facts)
        price = _price(attempt, facts, at_home=at_home)
        result = rate_limits.take(*price, at=at, when_away="alone")
        if result.allowed:
            return True
        if rate_limits.is_used(tried, at=at):
            again = rate_limits.take(_again(attempt, facts), at=at, when_away="alone")
            return again.allowed
        if _is_new(attempt, at=at):
            self._add(attempt, was_looked_at=False, at=at)
        return False

    def learn(self, attempt: Attempt, *, at: datetime) -> None:
        """Take in how an attempt ended that Dovecot looked at."""
        facts = lookups.facts_of(attempt)
        if facts.is_app_password:
            return
        # It may have come to be at home there since, by signing in.
        paid_at = [
            at_home
            for at_home in (True, False)
            if rate_limits.is_used(_paid(attempt, at_home=at_home), at=at)
        ]
        if attempt.success:
            again = (_again(attempt, facts),)
            taken = [_price(attempt, facts, at_home=at_home) for at_home in paid_at] or [again]
            rate_limits.give_back(*taken[0], at=at)
        elif paid_at and facts.exists:
            self._add(attempt, was_looked_at=True, at=at)

    def _add(self, attempt: Attempt, *, was_looked_at: bool, at: datetime) -> None:
        holder = attempt.holder
        self.tally.add(attempt.login, holder=holder, was_looked_at=was_looked_at, at=at)

    def _nothing_is_right(self, attempt: Attempt, facts: Facts, *, at: datetime) -> None:
        """No mailbox, or one that only app passwords open.

        A guess counts for its address all the same, or guessing at names would be free.
        """
        if not _is_new(attempt, at=at):
            return
        rate_limits.take(_of_address(attempt), at=at, when_away="alone")
        if facts.exists:
            self._add(attempt, was_looked_at=False, at=at)


def _is_new(attempt: Attempt, *, at: datetime) -> bool:
    """Whether this guess was not refused a while ago already."""
    seen = Bucket(policy=SEEN, who=f"{attempt.login} {attempt.fingerprint}")
    return rate_limits.take(seen, at=at, when_away="alone").allowed


def _price(attempt: Attempt, facts: Facts, *, at_home: bool) -> tuple[Bucket, ...]:
    """All that a first try takes."""
    paid = _paid(attempt, at_home=at_home)
    return (_tried(attempt, facts), paid, *_turns(attempt, at_home=at_home))


def _turns(attempt: Attempt, *, at_home: bool) -> tuple[Bucket, ...]:
    """The turns among it. At home, what strangers use up elsewhere does not count."""
    if at_home:
        return (Bucket(policy=AT_HOME, who=f"{attempt.login} {attempt.holder}"),)
    return (Bucket(policy=ELSEWHERE, who=attempt.login), _of_address(attempt))


def _of_address(attempt: Attempt) -> Bucket:
    return Bucket(policy=ADDRESS, who=attempt.holder)


def _tried(attempt: Attempt, facts: Facts) -> Bucket:
    # With the hash in it, a new mailbox password makes every guess a new one.
    return Bucket(policy=TRIED, who=_guess(attempt, facts))


def _again(attempt: Attempt, facts: Facts) -> Bucket:
    return Bucket(policy=AGAIN, who=_guess(attempt, facts))


def _paid(attempt: Attempt, *, at_home: bool) -> Bucket:
    place = "home" if at_home else "elsewhere"
    who = f"{attempt.login} {attempt.session} {attempt.fingerprint} {place}"
    return Bucket(policy=PAID, who=who)


def _guess(attempt: Attempt, facts: Facts) -> str:
    # With the holder in it: that somebody signs in just now opens nothing for whoever guesses right
    # at that moment elsewhere.
    return f"{attempt.login} {attempt.holder} {attempt.fingerprint} {facts.password_hash}"
