"""Mailboxes: one address, one protocol, one home on the mail server."""

from __future__ import annotations

import uuid
from collections import deque
from typing import Self

from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.access import Actor
from accounts.models import Organisation, below
from mailstore.addresses import ADDRESS_OCTETS, LOCAL_PART_OCTETS
from mailstore.models.domains import Domain

# What an IMAP program finds in a new mailbox (RFC 6154); a POP mailbox has an INBOX only.
SPECIAL_FOLDERS = ("Sent", "Drafts", "Junk", "Trash", "Archive")


class RetentionPolicy(models.Model):
    """A set of retention rules that comes with what was bought."""

    slug = models.SlugField(_("short name"), unique=True)
    name = models.CharField(_("name"), max_length=60)
    # The tripwire fires at this many messages, or this share of the mailbox, in this time. Fewer
    # than the fewest are a person at work, though it may be all that a folder held.
    trip_messages = models.PositiveIntegerField(_("tripwire: messages"), default=200)
    trip_percent = models.PositiveSmallIntegerField(_("tripwire: percent"), default=50)
    trip_minutes = models.PositiveSmallIntegerField(_("tripwire: minutes"), default=10)
    trip_fewest = models.PositiveSmallIntegerField(_("tripwire: fewest messages"), default=10)

    class Meta:
        verbose_name = _("retention policy")
        verbose_name_plural = _("retention policies")

    def __str__(self) -> str:
        return self.name


class MailboxQuerySet(models.QuerySet["Mailbox"]):
    """Which mailboxes an actor may know of, and which are due for what."""

    def visible_to(self, actor: Actor) -> Self:
        """Mailboxes of the organisations in the actor's tree."""
        return self.filter(below(actor, "organisation__"))

    def standing(self) -> Self:
        """All that have not been erased."""
        return self.exclude(state=Mailbox.State.CLOSED)

    def lock(self) -> Self:
        """Lock these rows until the transaction ends; call it in one.

        Whoever changes several mailboxes locks them here, in the order of their keys, and after
        limits and organisations ("In which order rows are locked" in docs/architecture.md).
        Without their keys, so that rows which point to them can be written meanwhile.
        """
        keys = self.order_by().values("pk")
        rows = Mailbox.objects.filter(pk__in=keys).select_for_update(no_key=True).order_by("pk")
        # A rule of the house reaches every mailbox, and their keys need not be held at one time.
        deque(rows.values_list("pk").iterator(), maxlen=0)
        return self


class Mailbox(models.Model):
    """One address's mail account.

    Its home on the mail server is named by `uuid`, so an address that is given up and opened
    again starts empty, and a late purge of the old home cannot touch the new one.
    """

    class Protocol(models.TextChoices):
        POP = "pop", _("POP")
        IMAP = "imap", _("IMAP")

    class State(models.TextChoices):
        PENDING = "pending", _("Being prepared")
        ACTIVE = "active", _("Active")
        SUSPENDED = "suspended", _("Suspended")
        CLOSING = "closing", _("Closing")
        CLOSED = "closed", _("Closed")

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    address = models.CharField(_("address"), max_length=ADDRESS_OCTETS)
    local_part = models.CharField(_("local part"), max_length=LOCAL_PART_OCTETS)
    domain = models.ForeignKey(
        Domain,
        verbose_name=_("domain"),
        on_delete=models.PROTECT,
        related_name="mailboxes",
    )
    organisation = models.ForeignKey(
        Organisation,
        verbose_name=_("organisation"),
        on_delete=models.PROTECT,
        related_name="mailboxes",
    )
    label = models.CharField(_("label"), max_length=120, blank=True)
    # How an integrator's own system names it, and what it wants to find it by.
    external_ref = models.CharField(
        _("reference elsewhere"), max_length=120, blank=True, db_default=""
    )
    labels = models.JSONField(_("labels"), default=dict, blank=True)
    protocol = models.CharField(_("protocol"), max_length=4, choices=Protocol)
    state = models.CharField(_("state"), max_length=10, choices=State, default=State.PENDING)
    quota_bytes = models.BigIntegerField(_("limit in bytes"))
    window_days = models.PositiveIntegerField(_("days that removed mail can be brought back"))
    # Null stands for the policy that is named like the protocol.
    retention_policy = models.ForeignKey(
        RetentionPolicy,
        verbose_name=_("retention policy"),
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="mailboxes",
    )
    # What it was under before, until a change of plan has cooled off: nothing goes sooner than
    # by both.
    former_policy = models.ForeignKey(
        RetentionPolicy,
        verbose_name=_("former retention policy"),
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        editable=False,
        related_name="+",
    )
    # The earliest moment at which a rule can remove anything; null asks for a look.
    retention_due_at = models.DateTimeField(null=True, blank=True, editable=False)
    # The same for the recoverable store; null while nothing lies in it.
    store_due_at = models.DateTimeField(null=True, blank=True, editable=False)
    # The size of the recoverable store when it was last looked at, and what went in since.
    store_bytes = models.BigIntegerField(_("removed bytes"), null=True, blank=True, editable=False)
    # How many messages that was, from the same looks; null before the first of them.
    store_messages = models.BigIntegerField(
        _("removed messages"), null=True, blank=True, editable=False
    )
    # When a program was seen to fetch messages; cleared once they are noted.
    retrievals_asked_at = models.DateTimeField(null=True, blank=True, editable=False)
    # Null stands for what the policy says.
    trip_messages = models.PositiveIntegerField(_("tripwire: messages"), null=True, blank=True)
    trip_percent = models.PositiveSmallIntegerField(_("tripwire: percent"), null=True, blank=True)
    trip_minutes = models.PositiveSmallIntegerField(_("tripwire: minutes"), null=True, blank=True)
    trip_fewest = models.PositiveSmallIntegerField(
        _("tripwire: fewest messages"), null=True, blank=True
    )
    tripwire_off_at = models.DateTimeField(_("tripwire off since"), null=True, blank=True)
    # Since the tripwire fired: nothing is purged and nobody signs in until the owner answers.
    frozen_at = models.DateTimeField(_("frozen"), null=True, blank=True, editable=False)
    # In Dovecot's form, `{ARGON2ID}$argon2id$…`; empty where app passwords are the only way.
    password_hash = models.CharField(max_length=200, blank=True, editable=False)
    # While true, the mailbox password opens nothing, set or not.
    app_passwords_only = models.BooleanField(
        _("app passwords only"), default=False, db_default=False, editable=False
    )
    created_at = models.DateTimeField(_("created"), default=timezone.now, editable=False)
    # Stays when the mailbox is closed for good: until then it was sold.
    closing_since = models.DateTimeField(_("closing since"), null=True, blank=True, editable=False)
    # What the day of that moment had brought until then: reports go on, and its bill ends there.
    closing_mark = models.BigIntegerField(null=True, blank=True, editable=False)
    erase_after = models.DateTimeField(_("erased after"), null=True, blank=True, editable=False)
    # Null until nothing of the home is left on the mail server.
    erased_at = models.DateTimeField(_("erased"), null=True, blank=True, editable=False)
    # Set by whatever takes away a right to sign in; the sweep clears it once Dovecot has
    # ended the sessions that were open, unless it was set anew meanwhile.
    sessions_end_asked_at = models.DateTimeField(null=True, blank=True, editable=False)
    warned_percent = models.PositiveSmallIntegerField(default=0, db_default=0, editable=False)
    full_since = models.DateTimeField(_("full since"), null=True, blank=True, editable=False)
    # Bytes in use when mail was last put off for lack of space; less than that is room again.
    full_bytes = models.BigIntegerField(null=True, blank=True, editable=False)
    # While false, mail for a full mailbox is put off with a 4xx answer; then refused with 5xx.
    refuses_when_full = models.BooleanField(default=False, db_default=False, editable=False)

    objects = MailboxQuerySet.as_manager()

    class Meta:
        verbose_name = _("mailbox")
        verbose_name_plural = _("mailboxes")
        constraints = (
            models.UniqueConstraint(
                fields=("address",),
                condition=~Q(state="closed"),
                name="mailstore_mailbox_address_once",
                violation_error_message=_("This address is taken."),
            ),
            models.CheckConstraint(
                condition=Q(protocol__in=["pop", "imap"]),
                name="mailstore_mailbox_protocol_known",
            ),
            models.CheckConstraint(
                condition=Q(quota_bytes__gt=0),
                name="mailstore_mailbox_quota_positive",
                violation_error_message=_("The limit is at least one byte."),
            ),
            models.UniqueConstraint(
                fields=("organisation", "external_ref"),
                condition=~Q(external_ref="") & ~Q(state="closed"),
                name="mailstore_mailbox_reference_once",
                violation_error_message=_("This reference names another mailbox."),
            ),
        )
        indexes = (
            models.Index(
                fields=("id",),
                condition=Q(state="pending"),
                name="mailstore_mailbox_pending",
            ),
            models.Index(
                fields=("id",),
                condition=Q(sessions_end_asked_at__isnull=False),
                name="mailstore_mailbox_sessions",
            ),
            models.Index(
                fields=("full_since",),
                condition=Q(full_since__isnull=False),
                name="mailstore_mailbox_full",
            ),
            models.Index(
                fields=("erase_after",),
                condition=Q(state="closing"),
                name="mailstore_mailbox_closing",
            ),
            models.Index(
                fields=("id",),
                condition=Q(state="closed", erased_at__isnull=True),
                name="mailstore_mailbox_unerased",
            ),
            models.Index(fields=("organisation", "address"), name="mailstore_mailbox_owner"),
            # Staff find a mailbox by how its address begins, whatever became of it.
            models.Index(
                fields=("address",),
                opclasses=("varchar_pattern_ops",),
                name="mailstore_mailbox_address",
            ),
            models.Index(
                fields=("retention_due_at",),
                condition=~Q(state="closed"),
                name="mailstore_mailbox_retention",
            ),
            models.Index(
                fields=("store_due_at",),
                condition=Q(store_due_at__isnull=False),
                name="mailstore_mailbox_store",
            ),
            models.Index(
                fields=("retrievals_asked_at",),
                condition=Q(retrievals_asked_at__isnull=False),
                name="mailstore_mailbox_retrieved",
            ),
            models.Index(
                fields=("frozen_at",),
                condition=Q(frozen_at__isnull=False),
                name="mailstore_mailbox_frozen",
            ),
        )

    def __str__(self) -> str:
        return self.address

    @property
    def is_imap(self) -> bool:
        """Whether mail is kept and synchronised on the server."""
        return self.protocol == self.Protocol.IMAP

    @property
    def tombstone(self) -> str:
        """The name under which Dovecot finds the home of a closed mailbox until it is erased.

        It is not the address, which may belong to a new mailbox by then.
        """
        return self.uuid.hex

    @property
    def special_folders(self) -> tuple[str, ...]:
        """The folders a mail program should find."""
        return SPECIAL_FOLDERS if self.is_imap else ()

    @property
    def subject(self) -> tuple[str, str, str]:
        """How events name this mailbox."""
        return ("mailbox", str(self.uuid), self.address)
