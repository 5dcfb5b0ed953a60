"""Who is told of a change that waits: who can call it off, and those below whom it reaches."""

from __future__ import annotations

from datetime import datetime

from django.utils import timezone

from accounts import notices
from accounts.models import Organisation, OrganisationQuerySet
from mailstore import rules
from mailstore.cooling import changes
from mailstore.models import PendingChange, RetentionPolicy


def announce(change: PendingChange, *, target: rules.Target, below: str, at: datetime) -> None:
    """Write to every owner, once.

    Those below, whom the sentence `below` is for, cannot call it off, so they get other words;
    it is empty for what reaches nobody below.
    """
    own = changes.organisation_of(target)
    context = {
        "sentence": change.sentence,
        "asked_by": change.asked_by,
        "effective_text": f"{timezone.localtime(change.effective_at):%-d %B %Y, %H:%M} UTC",
    }
    notices.announce(organisations=[own], name="pending_change", context=context, at=at)
    if below:
        notices.announce(
            organisations=_below(target, own),
            name="pending_change_below",
            context={
                "sentence": below,
                "effective_text": context["effective_text"],
                "is_rule": change.kind == PendingChange.Kind.RULE,
            },
            at=at,
            but=frozenset(notices.addresses(own)),
        )


def _below(target: rules.Target, own: Organisation) -> OrganisationQuerySet:
    """Others whose mailboxes the change reaches."""
    if not isinstance(target, RetentionPolicy | Organisation):
        return Organisation.objects.none()
    reached = rules.mailboxes_under(target).order_by().values("organisation")
    return Organisation.objects.filter(pk__in=reached).exclude(pk=own.pk).order_by("pk")
