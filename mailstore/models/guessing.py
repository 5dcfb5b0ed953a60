"""Guesses at mailbox passwords: what the guard counted, and whom the house told of it."""

from __future__ import annotations

import uuid

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from mailstore.addresses import ADDRESS_OCTETS
from mailstore.models.mailboxes import Mailbox


class Guessing(models.Model):
    """One spell of guesses at one address: it is over when none came for an hour.

    Written by the guard, beside Dovecot's reports. Moments are Unix time in whole seconds. Only
    different guesses count, so a phone that sends one old password counts once an hour or so.
    """

    username = models.CharField(max_length=ADDRESS_OCTETS)
    began_at = models.BigIntegerField(_("began"))
    last_at = models.BigIntegerField(_("last"))
    tries = models.BigIntegerField(_("tries"), default=0, db_default=0)
    # Those of which the mail server looked at the password; the others were refused unseen.
    looked_at = models.BigIntegerField(_("passwords looked at"), default=0, db_default=0)

    class Meta:
        verbose_name = _("guessing")
        verbose_name_plural = _("guessing")
        constraints = (
            models.UniqueConstraint(
                fields=("username", "began_at"), name="mailstore_guessing_once"
            ),
        )
        indexes = (models.Index(fields=("last_at",), name="mailstore_guessing_last"),)

    def __str__(self) -> str:
        return f"{self.username}: {self.tries}"


class GuessingSource(models.Model):
    """From where the guesses of one spell came: an address, or the network of an IPv6 one."""

    guessing = models.ForeignKey(Guessing, on_delete=models.CASCADE, related_name="sources")
    holder = models.CharField(_("from"), max_length=43)
    tries = models.BigIntegerField(_("tries"), default=0, db_default=0)

    class Meta:
        verbose_name = _("source of guesses")
        verbose_name_plural = _("sources of guesses")
        constraints = (
            models.UniqueConstraint(
                fields=("guessing", "holder"), name="mailstore_guessingsource_once"
            ),
        )

    def __str__(self) -> str:
        return f"{self.holder}: {self.tries}"


class GuessingAlarm(models.Model):
    """That a spell of guesses was noticed, and whether the owners have been written to."""

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    mailbox = models.ForeignKey(
        Mailbox,
        verbose_name=_("mailbox"),
        on_delete=models.CASCADE,
        related_name="guessing_alarms",
    )
    began_at = models.DateTimeField(_("since"))
    noticed_at = models.DateTimeField(_("noticed"))
    told_at = models.DateTimeField(_("owners told"), null=True)

    class Meta:
        verbose_name = _("alarm about guesses")
        verbose_name_plural = _("alarms about guesses")
        constraints = (
            models.UniqueConstraint(
                fields=("mailbox", "began_at"), name="mailstore_guessingalarm_once"
            ),
        )
        indexes = (
            models.Index(fields=("noticed_at",), name="mailstore_guessing_noticed"),
            models.Index(
                fields=("id",), condition=Q(told_at__isnull=True), name="mailstore_guessing_untold"
            ),
        )

    def __str__(self) -> str:
        return f"{self.mailbox} · {self.began_at:%Y-%m-%d %H:%M}"
