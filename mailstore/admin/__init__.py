"""Staff pages for mail and for how long it stays. Mailboxes are sold in `hosting`."""

from mailstore.admin import (
    alarms,
    app_passwords,
    changes,
    devices,
    domains,
    guesses,
    holds,
    meters,
    policies,
    purges,
    quota_warnings,
    restores,
    sign_ins,
    standing,
    switches,
)

__all__ = [
    "alarms",
    "app_passwords",
    "changes",
    "devices",
    "domains",
    "guesses",
    "holds",
    "meters",
    "policies",
    "purges",
    "quota_warnings",
    "restores",
    "sign_ins",
    "standing",
    "switches",
]
