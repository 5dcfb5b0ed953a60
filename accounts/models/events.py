"""Facts that happened: audit trail, change feed and source of webhooks in one."""

from __future__ import annotations

import secrets
from typing import Self

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from accounts.access import Actor, ActorKind, Door, Standing
from accounts.models.organisations import Organisation, below
from accounts.models.visits import Visit


def new_cipher_key() -> bytes:
    """A key that is made once for each installation."""
    return secrets.token_bytes(16)


class EventQuerySet(models.QuerySet["Event"]):
    """Which facts an actor may read."""

    def unnumbered(self) -> Self:
        """Facts that have no place in the feed yet."""
        return self.filter(position__isnull=True)

    def after(self, position: int) -> Self:
        """Those that stand behind a place in the feed, in the order of the feed."""
        return self.filter(position__gt=position).order_by("position")

    def about(self, *thing_ids: str) -> Self:
        """Facts about some things, and about what belongs to them."""
        if len(thing_ids) == 1:
            # One equals sign, so that the index gives them in their order.
            return self.filter(belongs_to=thing_ids[0])
        return self.filter(belongs_to__in=thing_ids)

    def visible_to(self, actor: Actor) -> Self:
        """Facts about organisations in the actor's tree; a key reads those of its own mode."""
        return self.filter(below(actor.in_any_mode(), "organisation__")).in_mode_of(actor)

    def in_mode_of(self, actor: Actor) -> Self:
        """Facts about tests for a key that is for testing, all others for a live one."""
        if actor.is_test is None:
            return self
        if actor.is_test:
            return self.filter(Q(organisation__is_test=True) | Q(data__is_test=True))
        # What a live organisation has for testing, such as a key, says so by itself.
        says_nothing = Q(data__is_test__isnull=True)
        return self.filter(says_nothing | Q(data__is_test=False), organisation__is_test=False)


class Event(models.Model):
    """One fact that happened, written in the same transaction as the change itself.

    `seq` is taken when the row is written, and transactions commit in another order. So whoever
    follows the facts follows `position`, which is given after the commit (`accounts.numbering`).

    Nothing of it ever changes, and it is never removed: triggers see to that
    (`accounts.guarding`), and the chain shows it where they did not (`accounts.chaining`).
    """

    seq = models.BigAutoField(primary_key=True)
    position = models.BigIntegerField(_("place in the feed"), null=True, unique=True, default=None)
    kind = models.CharField(_("kind"), max_length=60)
    at = models.DateTimeField(_("at"))
    organisation = models.ForeignKey(
        Organisation,
        verbose_name=_("organisation"),
        on_delete=models.PROTECT,
        related_name="events",
    )
    actor_kind = models.CharField(
        _("actor kind"), max_length=10, choices=[(k, k) for k in ActorKind]
    )
    actor_id = models.CharField(_("actor id"), max_length=64)
    actor_name = models.CharField(_("actor"), max_length=254)
    door = models.CharField(
        _("door"),
        max_length=10,
        choices=[(d.value, d.value) for d in Door if d],
        blank=True,
        default="",
        db_default="",
    )
    # How whoever acted stood to the organisation, and by which role there or above it.
    standing = models.CharField(
        _("standing"),
        max_length=10,
        choices=[(s.value, s.value) for s in Standing if s],
        blank=True,
        default="",
        db_default="",
    )
    role = models.CharField(_("role"), max_length=20, blank=True, default="", db_default="")
    # Personal, so they can be forgotten: the chain holds a commitment to them, which nobody can
    # guess them from once the salt is gone (`accounts.forgetting`).
    address = models.CharField(_("address"), max_length=45, blank=True, default="", db_default="")
    session = models.CharField(_("session"), max_length=16, blank=True, default="", db_default="")
    salt = models.BinaryField(max_length=16, null=True)
    commitment = models.CharField(max_length=64, blank=True, default="", db_default="")
    subject_kind = models.CharField(_("subject kind"), max_length=40)
    subject_id = models.CharField(_("subject id"), max_length=64)
    subject_name = models.CharField(_("subject"), max_length=320)
    # The id of the larger thing that the subject is or belongs to, such as a mailbox.
    belongs_to = models.CharField(max_length=64, blank=True, default="", db_default="")
    data = models.JSONField(_("data"), default=dict)
    # Whoever acted did so for the customer that was visited, as a guest from above.
    visit = models.ForeignKey(
        Visit,
        verbose_name=_("visit"),
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="events",
        db_index=False,
    )
    # The chain of the house, and that of the organisation by itself.
    link = models.CharField(_("link"), max_length=64, blank=True, default="", db_default="")
    own_place = models.BigIntegerField(_("place in its organisation"), null=True)
    own_link = models.CharField(
        _("link in its organisation"), max_length=64, blank=True, default="", db_default=""
    )

    objects = EventQuerySet.as_manager()

    class Meta:
        verbose_name = _("event")
        verbose_name_plural = _("events")
        indexes = (
            models.Index(fields=("organisation", "seq")),
            models.Index(
                fields=("actor_id", "seq"),
                condition=Q(actor_kind=ActorKind.API_KEY),
                name="accounts_event_by_key",
            ),
            models.Index(
                fields=("seq",),
                condition=Q(position__isnull=True),
                name="accounts_event_unnumbered",
            ),
            models.Index(
                fields=("visit", "seq"),
                condition=Q(visit__isnull=False),
                name="accounts_event_by_visit",
            ),
            models.Index(fields=("organisation", "at", "seq"), name="accounts_event_by_time"),
            models.Index(fields=("at", "seq"), name="accounts_event_by_moment"),
            models.Index(fields=("belongs_to", "at", "seq"), name="accounts_event_by_thing"),
            models.Index(
                fields=("at",),
                condition=Q(salt__isnull=False),
                name="accounts_event_with_origin",
            ),
        )
        constraints = (
            models.UniqueConstraint(
                fields=("organisation", "own_place"),
                condition=Q(own_place__isnull=False),
                name="accounts_event_own_place_once",
            ),
        )

    def __str__(self) -> str:
        return f"{self.kind} {self.subject_name}"


class EventCounter(models.Model):
    """The one row that says how many facts have a place in the feed."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1)
    last_position = models.BigIntegerField(default=0)
    # Enciphers the numbers of events, so that their public ids tell nobody how many there are.
    cipher_key = models.BinaryField(max_length=16, default=new_cipher_key)

    class Meta:
        constraints = (
            models.CheckConstraint(condition=Q(id=1), name="accounts_eventcounter_one_row"),
        )

    def __str__(self) -> str:
        return str(self.last_position)
