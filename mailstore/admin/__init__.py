"""Staff pages for mail and for how long it stays. Mailboxes are sold in `hosting`."""

from mailstore.admin import (
    alarms,
    app_passwords,
    changes,
    domains,
    guesses,
    holds,
    meters,
    policies,
    purges,
    quota_warnings,
    restores,
    standing,
    switches,
)

__all__ = [
    "alarms",
    "app_passwords",
    "changes",
    "domains",
    "guesses",
    "holds",
    "meters",
    "policies",
    "purges",
    "quota_warnings",
    "restores",
    "standing",
    "switches",
]
