"""Changes that make mail less safe, and wait until everybody had time to object."""

from __future__ import annotations

import uuid
from typing import Self

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from accounts.access import Actor
from accounts.models import Organisation, below
from mailstore.models.domains import Domain
from mailstore.models.mailboxes import Mailbox, RetentionPolicy


class PendingChangeQuerySet(models.QuerySet["PendingChange"]):
    """Changes that an actor may know of, and those that still wait."""

    def visible_to(self, actor: Actor) -> Self:
        """Changes in the actor's tree."""
        return self.filter(below(actor, "organisation__"))

    def reaching(self, mailbox: Mailbox) -> Self:
        """Those about a mailbox, and those about what stands above it: rules and thresholds."""
        named = [mailbox.retention_policy_id, mailbox.former_policy_id]
        policies = Q(policy__in=[pk for pk in named if pk is not None])
        if mailbox.retention_policy_id is None:
            policies |= Q(policy__slug=mailbox.protocol)
        alone = {"domain": None, "mailbox": None, "policy": None}
        of_organisation = Q(organisation__in=mailbox.organisation.lineage, **alone)
        return self.filter(
            Q(mailbox=mailbox)
            | Q(domain=mailbox.domain_id)
            | policies
            | of_organisation & Q(kind=PendingChange.Kind.RULE)
            | Q(organisation=mailbox.organisation_id, **alone)
        )

    def waiting(self) -> Self:
        """Those that are neither made nor called off."""
        return self.filter(state=PendingChange.State.WAITING)


class PendingChange(models.Model):
    """One change on its way. `organisation` is whose owners were told and may call it off."""

    class Kind(models.TextChoices):
        RULE = "rule", _("Mail is removed sooner")
        WINDOW = "window", _("A shorter time to bring mail back")
        EMPTY_STORE = "empty_store", _("Removed mail is destroyed")
        DESTROY = "destroy", _("Some removed mail is destroyed")
        CLOSE = "close", _("The mailbox is closed")
        TRIPWIRE = "tripwire", _("The tripwire is switched off")
        THRESHOLDS = "thresholds", _("The tripwire fires later")
        PLAN = "plan", _("Another plan protects less")
        CLOSE_ALL = "close_all", _("The organisation is closed")

    class State(models.TextChoices):
        WAITING = "waiting", _("Waiting")
        MADE = "made", _("Made")
        CALLED_OFF = "called_off", _("Called off")
        FAILED = "failed", _("Could not be made")

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    organisation = models.ForeignKey(
        Organisation, on_delete=models.PROTECT, related_name="pending_changes"
    )
    domain = models.ForeignKey(
        Domain, on_delete=models.PROTECT, null=True, related_name="pending_changes"
    )
    mailbox = models.ForeignKey(
        Mailbox, on_delete=models.PROTECT, null=True, related_name="pending_changes"
    )
    policy = models.ForeignKey(
        RetentionPolicy, on_delete=models.PROTECT, null=True, related_name="pending_changes"
    )
    kind = models.CharField(_("kind"), max_length=12, choices=Kind)
    # What the verb that makes the change is given, as JSON values.
    what = models.JSONField(_("what"), default=dict)
    sentence = models.CharField(_("in words"), max_length=500)
    state = models.CharField(_("state"), max_length=10, choices=State, default=State.WAITING)
    asked_by = models.CharField(_("asked by"), max_length=254)
    asked_at = models.DateTimeField(_("asked"))
    effective_at = models.DateTimeField(_("takes effect"))
    ended_at = models.DateTimeField(_("ended"), null=True)
    ended_by = models.CharField(_("ended by"), max_length=254, blank=True)
    shortened_by = models.CharField(_("shortened by"), max_length=254, blank=True)
    shortening_reason = models.CharField(_("reason"), max_length=500, blank=True)
    failure = models.CharField(_("failure"), max_length=300, blank=True)
    # When something kept it from being made, so that others get their turn before it.
    stopped_at = models.DateTimeField(null=True, editable=False)

    objects = PendingChangeQuerySet.as_manager()

    class Meta:
        verbose_name = _("change on its way")
        verbose_name_plural = _("changes on their way")
        indexes = (
            models.Index(
                fields=("effective_at",),
                condition=Q(state="waiting"),
                name="mailstore_pending_due",
            ),
            models.Index(
                fields=("ended_at",),
                condition=Q(state="failed"),
                name="mailstore_pending_failed",
            ),
        )

    def __str__(self) -> str:
        return self.sentence

    @property
    def subject(self) -> tuple[str, str, str]:
        """How events name this change."""
        return ("pending_change", str(self.uuid), self.sentence)
