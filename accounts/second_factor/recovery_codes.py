"""Codes on paper for whoever has no device at hand: ten, shown once, each good for one time.

A code has 79 bits, so a plain digest is as good as a slow one, and it stays valid whatever
happens to the house's own key.
"""

from __future__ import annotations

import hashlib
import secrets
from datetime import datetime

from django.db import transaction

from accounts.models import RecoveryCode, RecoveryCodes, User

COUNT = 10
# So many are left when the pages say that it is time for new ones.
FEW = 3
# Without what is easily mistaken for something else: i and l, o, 0 and 1.
_ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"
_LENGTH = 16
_GROUP = 4
# What people type between the groups.
_SEPARATORS = str.maketrans("", "", "- \t")


@transaction.atomic
def make(user: User, *, at: datetime) -> tuple[RecoveryCodes, list[str]]:
    """A new set, which is told only now; the set before it is worth nothing any more."""
    User.objects.select_for_update().get(pk=user.pk)
    RecoveryCodes.objects.filter(user=user).delete()
    codes = RecoveryCodes.objects.create(user=user, created_at=at)
    told = [_new_code() for _ in range(COUNT)]
    RecoveryCode.objects.bulk_create(
        RecoveryCode(codes=codes, digest=_digest(canonical(each))) for each in told
    )
    return codes, told


def spend(user: User, *, code: str, at: datetime) -> RecoveryCodes | None:
    """The set, if the code is one of it that nobody has used; of two at once, one gets through."""
    typed = canonical(code)
    if not looks_like_one(typed):
        return None
    unused = RecoveryCode.objects.filter(
        codes__user=user, digest=_digest(typed), used_at__isnull=True
    )
    if not unused.update(used_at=at):
        return None
    return RecoveryCodes.objects.filter(user=user).first()


def left(user: User) -> int | None:
    """How many are unused; None for whoever has no set."""
    codes = RecoveryCodes.objects.filter(user=user).first()
    return None if codes is None else codes.each.filter(used_at__isnull=True).count()


def canonical(code: str) -> str:
    """The one spelling that is compared: small letters without what stands between groups."""
    return code.translate(_SEPARATORS).lower()


def looks_like_one(typed: str) -> bool:
    """Whether a canonical code has the form of one."""
    return len(typed) == _LENGTH and all(letter in _ALPHABET for letter in typed)


def _new_code() -> str:
    letters = "".join(secrets.choice(_ALPHABET) for _ in range(_LENGTH))
    return "-".join(letters[start : start + _GROUP] for start in range(0, _LENGTH, _GROUP))


def _digest(code: str) -> str:
    return hashlib.sha256(code.encode()).hexdigest()
