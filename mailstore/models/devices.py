"""Who signs in to a mailbox, with what and from where, as the mail server's log tells it.

A `credential` is an app password's uuid without hyphens, or `-` for the mailbox password.
"""

from __future__ import annotations

import uuid
from typing import Self

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from accounts.access import Actor
from accounts.models import below
from mailstore.models.mailboxes import Mailbox

# Stands for the addresses of failures beyond the most that are told apart.
OTHER_ADDRESSES = ""


class SignInQuerySet(models.QuerySet["SignIn"]):
    """Which sign-ins an actor may know of."""

    def visible_to(self, actor: Actor) -> Self:
        """Those to mailboxes in the actor's tree."""
        return self.filter(below(actor, "mailbox__organisation__"))


class SignIn(models.Model):
    """What one program did from one address in one hour, or how one kind of try failed there.

    A program that looks for mail every five minutes makes one row an hour, and a million
    guesses no more. `sign_ins` counts tries where it failed. A session's counts stand in the
    hour in which it ended, which may have no sign-in.
    """

    class Outcome(models.TextChoices):
        SIGNED_IN = "signed_in", _("Signed in")
        WRONG_PASSWORD = "wrong_password", _("Wrong password")  # no password
        REFUSED = "refused", _("Refused: stopped, or the other protocol")
        WRONG_NETWORK = "wrong_network", _("Refused: not from this network")
        THROTTLED = "throttled", _("Held back: too many tries")

    mailbox = models.ForeignKey(Mailbox, on_delete=models.CASCADE, related_name="sign_ins")
    hour_at = models.DateTimeField(_("hour"))
    protocol = models.CharField(_("protocol"), max_length=4, choices=Mailbox.Protocol)
    # Nothing where the try failed before it was known.
    credential = models.CharField(_("signed in with"), max_length=36, blank=True)
    address = models.CharField(_("from"), max_length=45, blank=True)
    outcome = models.CharField(_("outcome"), max_length=14, choices=Outcome)
    first_at = models.DateTimeField(_("first"))
    last_at = models.DateTimeField(_("last"))
    sign_ins = models.PositiveBigIntegerField(_("sign-ins"), default=0)
    # Of these, how many came without TLS.
    without_tls = models.PositiveBigIntegerField(_("without TLS"), default=0)
    # The name that the mail server gave the last session.
    session = models.CharField(_("session"), max_length=64, blank=True)
    ended = models.PositiveBigIntegerField(_("sessions ended"), default=0)
    # Messages, as the sessions that ended counted them.
    fetched = models.PositiveBigIntegerField(_("fetched"), default=0)
    glanced = models.PositiveBigIntegerField(_("only their heads fetched"), default=0)
    removed = models.PositiveBigIntegerField(_("removed"), default=0)

    objects = SignInQuerySet.as_manager()

    class Meta:
        verbose_name = _("sign-in")
        verbose_name_plural = _("sign-ins")
        constraints = (
            models.UniqueConstraint(
                fields=("mailbox", "hour_at", "protocol", "credential", "address", "outcome"),
                name="mailstore_signin_once",
            ),
        )
        indexes = (models.Index(fields=("hour_at",), name="mailstore_signin_hour"),)

    def __str__(self) -> str:
        return f"{self.mailbox} {self.hour_at:%Y-%m-%d %H}: {self.sign_ins}"


class DeviceQuerySet(models.QuerySet["Device"]):
    """Which devices an actor may know of."""

    def visible_to(self, actor: Actor) -> Self:
        """Those of mailboxes in the actor's tree."""
        return self.filter(below(actor, "mailbox__organisation__"))


class Device(models.Model):
    """What signs in to a mailbox by one credential and one protocol."""

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    mailbox = models.ForeignKey(Mailbox, on_delete=models.CASCADE, related_name="devices")
    credential = models.CharField(_("signs in with"), max_length=36)
    protocol = models.CharField(_("protocol"), max_length=4, choices=Mailbox.Protocol)
    first_at = models.DateTimeField(_("first seen"))
    last_at = models.DateTimeField(_("last seen"))
    last_address = models.CharField(_("last from"), max_length=45)
    sign_ins = models.PositiveBigIntegerField(_("sign-ins"), default=0)
    # When it last removed something, by the log; null for never.
    last_removed_at = models.DateTimeField(_("last removed"), null=True)
    # When its owners had the letter about the copies that it leaves; there is one for each.
    copies_told_at = models.DateTimeField(_("told of copies"), null=True)
    # Its owner wants its copies to stay, although it was told what they take.
    copies_kept_at = models.DateTimeField(_("copies stay"), null=True)
    # How much the mailbox held then: beyond twice as much the question comes back.
    copies_kept_bytes = models.BigIntegerField(null=True)

    objects = DeviceQuerySet.as_manager()

    class Meta:
        verbose_name = _("device")
        verbose_name_plural = _("devices")
        constraints = (
            models.UniqueConstraint(
                fields=("mailbox", "credential", "protocol"), name="mailstore_device_once"
            ),
        )

    def __str__(self) -> str:
        return f"{self.mailbox} {self.protocol} {self.credential}"

    @property
    def subject(self) -> tuple[str, str, str]:
        """How events name this device."""
        return ("device", str(self.uuid), self.mailbox.address)


class PlaceQuerySet(models.QuerySet["Place"]):
    """Places by what is known of them."""

    def fresh(self) -> Self:
        """Those of which nobody has judged yet whether to ask."""
        return self.filter(state=Place.State.FRESH)

    def asked(self) -> Self:
        """Those of which their owner is asked."""
        return self.filter(state=Place.State.ASKED)


class Place(models.Model):
    """A part of the internet from which a device signs in."""

    class State(models.TextChoices):
        FRESH = "fresh", _("Just seen")
        ASKED = "asked", _("Was this you?")
        # Where everything began, so nobody was asked.
        ASSUMED = "assumed", _("Known from the beginning")
        MINE = "mine", _("It was me")
        NOT_MINE = "not_mine", _("It was not me")

    device = models.ForeignKey(Device, on_delete=models.CASCADE, related_name="places")
    network = models.CharField(_("network"), max_length=49)
    first_at = models.DateTimeField(_("first seen"))
    last_at = models.DateTimeField(_("last seen"))
    last_address = models.CharField(_("last from"), max_length=45)
    sign_ins = models.PositiveBigIntegerField(_("sign-ins"), default=0)
    state = models.CharField(_("state"), max_length=8, choices=State, default=State.FRESH)
    answered_at = models.DateTimeField(_("answered"), null=True)
    answered_by = models.CharField(_("answered by"), max_length=254, blank=True)
    # Its owners are to get a letter, and have not yet.
    is_untold = models.BooleanField(default=False, db_default=False)

    objects = PlaceQuerySet.as_manager()

    class Meta:
        verbose_name = _("place")
        verbose_name_plural = _("places")
        constraints = (
            models.UniqueConstraint(fields=("device", "network"), name="mailstore_place_once"),
        )
        indexes = (
            models.Index(fields=("id",), condition=Q(state="fresh"), name="mailstore_place_fresh"),
            models.Index(
                fields=("device",), condition=Q(is_untold=True), name="mailstore_place_untold"
            ),
            models.Index(fields=("last_at",), name="mailstore_place_last"),
        )

    def __str__(self) -> str:
        return f"{self.device} {self.network}"


class PlaceLetters(models.Model):
    """Whether the owners of a mailbox get letters about devices, and the last about new places."""

    mailbox = models.OneToOneField(Mailbox, on_delete=models.CASCADE, related_name="place_letters")
    is_on = models.BooleanField(_("letters"), default=True)
    last_at = models.DateTimeField(_("last letter"), null=True)

    class Meta:
        verbose_name = _("letters about new places")
        verbose_name_plural = _("letters about new places")

    def __str__(self) -> str:
        return f"{self.mailbox}: {self.is_on}"
