"""Keys by which programs act for an organisation."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any, Self

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from accounts.access import Actor, ActorKind
from accounts.models.events import Event
from accounts.models.organisations import Organisation, below
from accounts.models.people import User


class ApiKeyQuerySet(models.QuerySet["ApiKey"]):
    """Which keys an actor may know of, and which still open anything."""

    def visible_to(self, actor: Actor) -> Self:
        """Keys of the organisations in the actor's tree; a key knows those of its own mode."""
        mine = self.filter(below(actor.in_any_mode(), "organisation__"))
        return mine if actor.is_test is None else mine.filter(is_test=actor.is_test)

    def with_reach(self) -> Self:
        """Load with each key whose it is, who made it, and for whom alone it is."""
        narrowed = models.Prefetch(
            "narrowed_to", Organisation.objects.select_related("parent").order_by("name")
        )
        related = self.select_related("organisation__parent", "created_by", "successor")
        return related.prefetch_related(narrowed)

    def working(self, *, at: datetime) -> Self:
        """Those that have been neither revoked nor have expired."""
        return self.filter(Q(expires_at__isnull=True) | Q(expires_at__gt=at), revoked_at=None)


class ApiKey(models.Model):
    """One program's key: what it may do, for whom, from where and until when.

    Only a digest of the secret is kept. A narrow key reaches the organisations in
    `narrowed_to` alone; if these are gone, it reaches nothing.
    """

    class State(models.TextChoices):
        WORKING = "working", _("Works")
        REPLACED = "replaced", _("Replaced, and works for a while")
        EXPIRED = "expired", _("Expired")
        REVOKED = "revoked", _("Revoked")

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    organisation = models.ForeignKey(
        Organisation,
        verbose_name=_("organisation"),
        on_delete=models.PROTECT,
        related_name="api_keys",
    )
    label = models.CharField(_("label"), max_length=120)
    digest = models.CharField(max_length=64, unique=True, editable=False)
    # The last characters of the secret, by which people tell keys apart.
    hint = models.CharField(_("ends with"), max_length=4, editable=False)
    is_test = models.BooleanField(_("for testing"), default=False)
    scopes = models.JSONField(_("scopes"), default=list)
    is_narrow = models.BooleanField(_("for some organisations only"), default=False)
    narrowed_to = models.ManyToManyField(
        Organisation, verbose_name=_("organisations"), blank=True, related_name="+"
    )
    networks = models.JSONField(_("networks"), default=list)
    created_by = models.ForeignKey(
        User, verbose_name=_("made by"), on_delete=models.SET_NULL, null=True, related_name="+"
    )
    created_at = models.DateTimeField(_("made"))
    expires_at = models.DateTimeField(_("expires"), null=True)
    revoked_at = models.DateTimeField(_("revoked"), null=True)
    successor = models.OneToOneField(
        "self",
        verbose_name=_("replaced by"),
        on_delete=models.SET_NULL,
        null=True,
        related_name="predecessor",
    )
    # Noted once a minute at most, so that reading by API does not mean writing each time.
    last_used_at = models.DateTimeField(_("last used"), null=True)
    last_used_from = models.GenericIPAddressField(_("last used from"), null=True)

    objects = ApiKeyQuerySet.as_manager()

    class Meta:
        verbose_name = _("API key")
        verbose_name_plural = _("API keys")
        indexes = (
            models.Index(fields=("organisation", "id"), name="accounts_apikey_owner"),
            models.Index(fields=("hint",), name="accounts_apikey_hint"),
        )

    def __str__(self) -> str:
        return f"{self.label} …{self.hint}"

    @property
    def subject(self) -> tuple[str, str, str]:
        """How events name this key."""
        return ("api_key", str(self.uuid), self.label)

    @property
    def facts(self) -> dict[str, Any]:
        """What events say of the key: nothing that opens anything."""
        names = ("scopes", "networks", "is_test", "hint")
        return {name: getattr(self, name) for name in names}

    def used_from(self, reader: Actor) -> str | None:
        """From where it was last used, for its own organisation alone.

        Whoever stands above manages the key, and does not read where its programs run.
        """
        return self.last_used_from if reader.belongs_to(self.organisation_id) else None

    def works(self, *, at: datetime) -> bool:
        """Whether it opens anything at a moment."""
        return self.revoked_at is None and (self.expires_at is None or self.expires_at > at)

    def state_at(self, at: datetime) -> State:
        """Whether it opens anything at a moment, and if not, why."""
        if self.revoked_at is not None:
            return self.State.REVOKED
        if not self.works(at=at):
            return self.State.EXPIRED
        return self.State.WORKING if self.successor_id is None else self.State.REPLACED

    def deeds(self) -> models.QuerySet[Event]:
        """Everything that was done with it, newest first."""
        done = Event.objects.filter(actor_kind=ActorKind.API_KEY, actor_id=str(self.uuid))
        return done.order_by("-seq")
