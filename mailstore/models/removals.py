"""What programs removed, as the mail server's log tells it, and the alarms that came of it."""

from __future__ import annotations

import uuid
from typing import Self

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from accounts.access import Actor
from accounts.models import below
from mailstore.models.mailboxes import Mailbox


class Removal(models.Model):
    """Messages that one session moved from one folder into the recoverable store in a minute.

    `uids` are those they have in the store, in the short form of RFC 3501. `device` is the
    app password's uuid without hyphens, or `-` for the mailbox password. `folder` is named as
    the log does it, by `folder_names.shown`. What was sent to a POP session is known once it ended.
    """

    mailbox = models.ForeignKey(Mailbox, on_delete=models.CASCADE, related_name="removals")
    folder = models.CharField(_("folder"), max_length=255)
    service = models.CharField(_("protocol"), max_length=10)
    session = models.CharField(_("session"), max_length=64)
    device = models.CharField(_("device"), max_length=36)
    address = models.CharField(_("from"), max_length=45)
    uids = models.TextField(_("uids"))
    messages = models.PositiveBigIntegerField(_("messages"))
    bytes = models.PositiveBigIntegerField(_("bytes"))
    began_at = models.DateTimeField(_("began"))
    ended_at = models.DateTimeField(_("ended"))
    # The tripwire has looked at the row as it is.
    is_weighed = models.BooleanField(default=False)
    took_folder = models.BooleanField(_("with the folder"), default=False)
    # By RETR and by TOP, whatever the session removed.
    fetched_messages = models.PositiveBigIntegerField(null=True, blank=True, editable=False)
    fetched_bytes = models.PositiveBigIntegerField(null=True, blank=True, editable=False)
    glanced_messages = models.PositiveBigIntegerField(null=True, blank=True, editable=False)
    glanced_bytes = models.PositiveBigIntegerField(null=True, blank=True, editable=False)

    class Meta:
        verbose_name = _("removal")
        verbose_name_plural = _("removals")
        indexes = (
            models.Index(fields=("mailbox", "ended_at")),
            models.Index(
                fields=("mailbox",),
                condition=Q(is_weighed=False),
                name="mailstore_removal_unweighed",
            ),
        )

    def __str__(self) -> str:
        return f"{self.mailbox} {self.folder}: {self.messages}"


class MessageCopy(models.Model):
    """Messages that programs copied or moved from one folder into another in a minute.

    `uids` are those they have in `folder`, in the short form of RFC 3501. Folders are named as
    the log does it, by `folder_names.shown`. One that was renamed brought all that lay in it.
    """

    mailbox = models.ForeignKey(Mailbox, on_delete=models.CASCADE, related_name="copies")
    origin = models.CharField(max_length=255)
    folder = models.CharField(max_length=255)
    uids = models.TextField()
    # The beginning of the minute.
    made_at = models.DateTimeField(db_index=True)
    is_rename = models.BooleanField(default=False)

    class Meta:
        constraints = (
            models.UniqueConstraint(
                fields=("mailbox", "made_at", "origin", "folder"), name="mailstore_copies_of_minute"
            ),
        )

    def __str__(self) -> str:
        return f"{self.mailbox} {self.origin} to {self.folder}: {self.uids}"


class AlarmQuerySet(models.QuerySet["Alarm"]):
    """Alarms that an actor may know of, and those that wait for an answer."""

    def visible_to(self, actor: Actor) -> Self:
        """Alarms of mailboxes in the actor's tree."""
        return self.filter(below(actor, "mailbox__organisation__"))

    def open(self) -> Self:
        """Those that nobody has answered."""
        return self.filter(answer="")

    def untold(self) -> Self:
        """Those of whom no owner could be told."""
        return self.filter(owners_told=0)


class Alarm(models.Model):
    """The tripwire saw a mass deletion and froze the mailbox until its owner answers."""

    class Answer(models.TextChoices):
        WAITING = "", _("Waits for an answer")
        OWN_DOING = "own_doing", _("It was me")
        ROLL_BACK = "roll_back", _("Rolled back")

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    mailbox = models.ForeignKey(Mailbox, on_delete=models.PROTECT, related_name="alarms")
    at = models.DateTimeField(_("raised"))
    # The moment before the first of the removals: a roll-back goes there.
    since = models.DateTimeField(_("removals since"))
    messages = models.PositiveBigIntegerField(_("messages"))
    bytes = models.PositiveBigIntegerField(_("bytes"))
    reason = models.CharField(_("reason"), max_length=300)
    answer = models.CharField(
        _("answer"), max_length=10, choices=Answer, default=Answer.WAITING, blank=True
    )
    answered_at = models.DateTimeField(_("answered"), null=True)
    answered_by = models.CharField(_("answered by"), max_length=254, blank=True)
    # Owners who were written to at an address that does not lie on this mail server.
    owners_told = models.PositiveSmallIntegerField(_("owners told"), default=0)

    objects = AlarmQuerySet.as_manager()

    class Meta:
        verbose_name = _("tripwire alarm")
        verbose_name_plural = _("tripwire alarms")
        constraints = (
            models.UniqueConstraint(
                fields=("mailbox",), condition=Q(answer=""), name="mailstore_alarm_one_open"
            ),
        )
        indexes = (
            models.Index(fields=("at",), condition=Q(answer=""), name="mailstore_alarm_open"),
        )

    def __str__(self) -> str:
        return f"{self.mailbox}: {self.messages}"

    @property
    def subject(self) -> tuple[str, str, str]:
        """How events name this alarm."""
        return ("alarm", str(self.uuid), self.mailbox.address)
