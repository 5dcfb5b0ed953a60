"""What stops an organisation: each restriction with its cause, its reason and its end."""

from __future__ import annotations

import uuid
from typing import Self

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from accounts.models import Organisation, Switches
from mailstore.models.mailboxes import Mailbox


class RestrictionQuerySet(models.QuerySet["Restriction"]):
    """Restrictions by whether they stand."""

    def standing(self) -> Self:
        """Those that nobody has lifted."""
        return self.filter(lifted_at__isnull=True)


class Restriction(Switches):
    """One cause that stops an organisation, until it is lifted. Never deleted.

    Several may stand at once; the organisation's own switches are the strictest of each.
    """

    class Cause(models.TextChoices):
        DEBT = "debt", _("An unpaid bill")
        ABUSE = "abuse", _("Stopped by staff")
        ABOVE = "above", _("Stopped by its seller")
        WISH = "wish", _("Its own wish")

    class State(models.TextChoices):
        PAST_DUE = "past_due", _("Payment is late")
        SUSPENDED = "suspended", _("Suspended")
        CLOSED = "closed", _("Closed")

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    organisation = models.ForeignKey(
        Organisation,
        verbose_name=_("organisation"),
        on_delete=models.PROTECT,
        related_name="restrictions",
    )
    cause = models.CharField(_("cause"), max_length=5, choices=Cause)
    state = models.CharField(_("state"), max_length=9, choices=State)
    # The organisation reads it.
    reason = models.CharField(_("reason"), max_length=500)
    imposed_by = models.CharField(_("imposed by"), max_length=254)
    imposed_at = models.DateTimeField(_("imposed"))
    lifted_by = models.CharField(_("lifted by"), max_length=254, blank=True)
    lifted_at = models.DateTimeField(_("lifted"), null=True, blank=True)
    lift_reason = models.CharField(_("reason for lifting"), max_length=500, blank=True)

    objects = RestrictionQuerySet.as_manager()

    class Meta:
        verbose_name = _("restriction")
        verbose_name_plural = _("restrictions")
        constraints = (
            models.UniqueConstraint(
                fields=("organisation", "cause"),
                condition=Q(lifted_at__isnull=True),
                name="mailstore_restriction_one_a_cause",
            ),
        )

    def __str__(self) -> str:
        return f"{self.organisation}: {self.get_cause_display()}"


class ClosedAlong(models.Model):
    """A mailbox that was closed because its organisation was, and how it comes back."""

    restriction = models.ForeignKey(
        Restriction, on_delete=models.PROTECT, related_name="closed_along"
    )
    mailbox = models.ForeignKey(Mailbox, on_delete=models.PROTECT, related_name="closed_along")
    was_suspended = models.BooleanField()

    class Meta:
        verbose_name = _("mailbox closed with its organisation")
        verbose_name_plural = _("mailboxes closed with their organisations")
        constraints = (
            models.UniqueConstraint(
                fields=("mailbox",), name="mailstore_closedalong_one_restriction"
            ),
        )

    def __str__(self) -> str:
        return str(self.mailbox)
