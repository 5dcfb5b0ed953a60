"""Who is told that a tripwire fired: at addresses that do not lie on this mail server.

Whoever emptied one mailbox may read the others of its domain as well, and nobody can sign in to
the one that is frozen. So letters go outside. Owners without such an address are written to at
another mailbox here for want of better, and those above are asked to call them.
"""

from __future__ import annotations

from datetime import datetime

from accounts import notices
from accounts.models import Organisation
from mailstore import domains, quotas
from mailstore.models import Alarm, Mailbox


def tell(alarm: Alarm, *, at: datetime) -> int:
    """Write to owner and reseller; returns how many owners were told outside."""
    mailbox = alarm.mailbox
    owner = mailbox.organisation
    reached = outside(owner)
    context = {
        "address": mailbox.address,
        "reason": alarm.reason,
        "messages": alarm.messages,
        "size_text": quotas.byte_text(alarm.bytes),
        "at_text": f"{alarm.since:%-d %B %Y, %H:%M} UTC",
        "alarm": str(alarm.uuid),
    }
    told: set[str] = set()
    for organisation in (owner, *_above(owner, is_reached=bool(reached))):
        has_to_call = organisation != owner and not reached
        notices.announce(
            organisations=[organisation],
            name="tripwire",
            context={**context, "owner_unreached": owner.name if has_to_call else ""},
            at=at,
            but=frozenset(told | _unread(organisation, mailbox)),
        )
        told.update(notices.addresses(organisation))
    return len(reached)


def _unread(organisation: Organisation, mailbox: Mailbox) -> set[str]:
    """Where no letter goes: not inside if there is an address outside, never to the mailbox."""
    reached = outside(organisation)
    inside = set(notices.addresses(organisation)).difference(reached)
    return inside if reached else {mailbox.address}


def outside(organisation: Organisation) -> list[str]:
    """Where an organisation's owners can be told whatever happens to its mailboxes."""
    addresses = set(notices.addresses(organisation))
    return sorted(addresses - domains.inside(addresses))


def _above(owner: Organisation, *, is_reached: bool) -> list[Organisation]:
    """The reseller; and up to the house, if the owner cannot be reached."""
    above = owner.parent
    if above is None:
        return []
    return [above] if is_reached or above.parent is None else [above, above.parent]
