"""What the guard reads: the views that Dovecot reads, and from where people signed in before."""

from __future__ import annotations

from dataclasses import dataclass

from django.conf import settings
from django.db import connections

from accounts import keys
from mailstore.guard.attempts import Attempt

# So many of the latest sign-ins say where a mailbox is at home; a phone on its way has many.
MOST_KNOWN = 100

_FACTS = """
SELECT w.digest, w.allow_nets,
    (SELECT password FROM dovecot_passdb WHERE username = %s AND proto = %s),
    EXISTS (SELECT 1 FROM dovecot_userdb WHERE username = %s)
FROM (SELECT 1 AS one) always
LEFT JOIN (
    SELECT digest, allow_nets FROM dovecot_app_password
    WHERE username = %s AND proto = %s AND digest = %s
) w ON 1 = 1
"""
_KNOWN = """
SELECT address FROM mailstore_lastlogin WHERE username = %s
ORDER BY last_login DESC LIMIT %s
"""


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What a name stands for, and the password that was sent.

    The hash is empty where no mailbox password can be right.
    """

    exists: bool
    is_app_password: bool
    password_hash: str


def facts_of(attempt: Attempt) -> Facts:
    """One question for all of it. An app password that may not be used from there is none."""
    name, protocol = attempt.login, attempt.protocol
    with connections["default"].cursor() as cursor:
        cursor.execute(_FACTS, [name, protocol, name, name, protocol, attempt.digest])
        digest, allow_nets, password_hash, exists = cursor.fetchone()
    is_allowed = not allow_nets or keys.is_inside(attempt.address, allow_nets.split(","))
    return Facts(
        exists=bool(exists),
        is_app_password=digest is not None and is_allowed,
        password_hash=password_hash or "",
    )


def is_at_home(attempt: Attempt) -> bool:
    """Whether somebody signed in to this mailbox from there before."""
    with connections[settings.REPORTS_DATABASE].cursor() as cursor:
        cursor.execute(_KNOWN, [attempt.login, MOST_KNOWN])
        return any(keys.holder_of(address) == attempt.holder for (address,) in cursor.fetchall())
