"""Mailboxes that went over to the other protocol, and what of it is still to be done."""

from __future__ import annotations

from typing import Self

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from mailstore.models.mailboxes import Mailbox


class ProtocolSwitchQuerySet(models.QuerySet["ProtocolSwitch"]):
    """Switches by whether the mail server knows of them."""

    def open(self) -> Self:
        """Those that the mail server has not followed yet."""
        return self.filter(done_at__isnull=True)


class ProtocolSwitch(models.Model):
    """One switch. Sign-in changed with its commit; folders and marks follow.

    Until they have, a message that was seen says nothing about whether a program fetched it.
    """

    mailbox = models.ForeignKey(Mailbox, on_delete=models.PROTECT, related_name="protocol_switches")
    protocol = models.CharField(_("to"), max_length=4, choices=Mailbox.Protocol)
    at = models.DateTimeField(_("at"))
    by = models.CharField(_("by"), max_length=254)
    # Whether mail of other folders moves into the inbox, where POP programs find it.
    gathers = models.BooleanField(_("gathers folders"), default=False)
    done_at = models.DateTimeField(_("done"), null=True)
    lease_until = models.DateTimeField(null=True)
    failure = models.CharField(_("failure"), max_length=300, blank=True)

    objects = ProtocolSwitchQuerySet.as_manager()

    class Meta:
        verbose_name = _("protocol switch")
        verbose_name_plural = _("protocol switches")
        indexes = (
            models.Index(
                fields=("id",), condition=Q(done_at__isnull=True), name="mailstore_switch_open"
            ),
        )

    def __str__(self) -> str:
        return f"{self.mailbox} → {self.protocol}"
