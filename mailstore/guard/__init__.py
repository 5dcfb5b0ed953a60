"""Holds back whoever guesses at mailbox passwords; Dovecot asks before it looks at one.

What answers is a small process of its own, so nothing here knows models: it reads the views that
Dovecot reads, and counts in `accounts.rate_limits`. While it is away, people sign in as ever.
"""

from __future__ import annotations

import hashlib
import hmac

# The header by which Dovecot proves that it is Dovecot.
HEADER = "X-Restante-Guard"


def key_from(secret: str) -> str:
    """What Dovecot sends in `HEADER`, made from the key of its admin API."""
    return _derived(secret, "guard")


def nonce_from(secret: str) -> str:
    """What Dovecot mixes into the digests of passwords that it sends along."""
    return _derived(secret, "guard nonce")


def _derived(secret: str, purpose: str) -> str:
    return hmac.new(secret.encode(), purpose.encode(), hashlib.sha256).hexdigest()
