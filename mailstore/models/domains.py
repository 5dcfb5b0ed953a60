"""Mail domains and who owns them."""

from __future__ import annotations

import uuid
from typing import Self

from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.access import Actor
from accounts.models import Organisation, below
from mailstore import addresses


class DomainQuerySet(models.QuerySet["Domain"]):
    """Which domains an actor may know of."""

    def visible_to(self, actor: Actor) -> Self:
        """Domains of the organisations in the actor's tree."""
        return self.filter(below(actor, "organisation__"))

    def confirmed(self) -> Self:
        """Domains that can have mailboxes."""
        return self.filter(state=Domain.State.CONFIRMED)


class Domain(models.Model):
    """A mail domain; one organisation owns it, and nobody else can use it."""

    class State(models.TextChoices):
        WAITING = "waiting", _("Waiting for confirmation")
        CONFIRMED = "confirmed", _("Confirmed")

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    name = models.CharField(_("name"), max_length=addresses.ADDRESS_OCTETS, unique=True)
    organisation = models.ForeignKey(
        Organisation,
        verbose_name=_("organisation"),
        on_delete=models.PROTECT,
        related_name="domains",
    )
    state = models.CharField(_("state"), max_length=10, choices=State, default=State.WAITING)
    created_at = models.DateTimeField(_("created"), default=timezone.now, editable=False)

    objects = DomainQuerySet.as_manager()

    class Meta:
        verbose_name = _("domain")
        verbose_name_plural = _("domains")
        indexes = (
            models.Index(
                fields=("created_at",),
                condition=Q(state="waiting"),
                name="mailstore_domain_waiting",
            ),
        )

    def __str__(self) -> str:
        return self.shown_name

    @property
    def shown_name(self) -> str:
        """The name as a person reads it."""
        return addresses.shown(self.name)
