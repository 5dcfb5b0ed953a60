"""One event as the activity shows it: who, on whose behalf, from where, and what changed.

From where somebody came is personal. Owners and admins of an organisation see it of their own
people and keys; where the seller or staff acted, they read who it was and why, not from which
network. Staff see all of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.access import Actor, ActorKind, Capability, Door, Standing
from accounts.models import Event
from hosting import history
from hosting.history import Detail

_DOORS: Mapping[str, object] = {
    Door.PANEL: gettext_lazy("on these pages"),
    Door.STAFF: gettext_lazy("on the staff's pages"),
    Door.API: gettext_lazy("by the API"),
    Door.COMMAND: gettext_lazy("by a command on the machine"),
    Door.WORKER: gettext_lazy("in the background"),
}
_HIDES_FROM_READERS = "webhook_"


@dataclass(frozen=True, kw_only=True)
class Line:
    """One event in words. What the reader may not see is empty."""

    at: datetime
    text: str
    who: str
    # In which role and for whom, where that is not plain.
    capacity: str
    reason: str
    door: str
    address: str
    session: str
    details: list[Detail]
    organisation: str
    is_from_outside: bool


@dataclass(frozen=True, kw_only=True)
class Reader:
    """Who reads, and in whose name the house speaks."""

    actor: Actor
    house_name: str

    def sees_origin(self, event: Event) -> bool:
        """Whether the reader may know from where this was done."""
        if self.actor.is_staff:
            return True
        # A guest looks after mail; whoever stands above has people of its own.
        return (
            self.actor.belongs_to(event.organisation_id)
            and event.standing == Standing.OWN
            and event.visit_id is None
            and self.actor.can(Capability.MANAGE_PEOPLE, lineage=(event.organisation_id,))
        )

    def sees_details(self, event: Event) -> bool:
        """The address of a webhook may hold what opens it, so only who keeps it reads it."""
        if not event.kind.startswith(_HIDES_FROM_READERS):
            return True
        lineage = (event.organisation_id, *self.actor.organisation_ids)
        return self.actor.can(Capability.MANAGE_KEYS, lineage=lineage)

    def line(self, event: Event) -> Line:
        """An event in words; load `organisation` and `visit` with it."""
        sees_origin = self.sees_origin(event)
        visit = event.visit
        return Line(
            at=event.at,
            text=history.with_subject(event),
            who=history.who(event, house_name=self.house_name),
            capacity=self._capacity(event),
            reason=history.harmless(visit.reason) if visit else "",
            door="" if _goes_without_saying(event) else str(_DOORS.get(event.door, "")),
            address=event.address if sees_origin else "",
            session=event.session if sees_origin else "",
            details=history.details(event) if self._has_more_to_say(event) else [],
            organisation=event.organisation.name,
            is_from_outside=visit is not None or event.standing in {Standing.ABOVE, Standing.STAFF},
        )

    def _has_more_to_say(self, event: Event) -> bool:
        # The sentence about a visit says all of it.
        return not event.kind.startswith("access.") and self.sees_details(event)

    def _capacity(self, event: Event) -> str:
        role = history.role_text(event.role)
        if event.visit is not None:
            seller = history.harmless(event.visit.seller)
            return _("acted here as a guest from %(seller)s") % {"seller": seller}
        if event.standing == Standing.STAFF:
            return _("staff of the house")
        if event.standing == Standing.ABOVE:
            return _("%(role)s of the seller") % {"role": role}
        if event.standing == Standing.OWN and event.actor_kind == ActorKind.USER:
            return role
        return ""


def _goes_without_saying(event: Event) -> bool:
    """What the house does by itself, it does in the background."""
    return event.actor_kind == ActorKind.SYSTEM and event.door == Door.WORKER
