"""What a reseller's customers see instead of the house: its look, and its own host name."""

from __future__ import annotations

import secrets
import uuid
from typing import Self

from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator, URLValidator
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from accounts.models import Organisation
from hosting import colours
from hosting.models.parties import Logo

# What turns the direction of a text or ends a line, and what a letter's sender is written with.
_NAME = RegexValidator(
    '^[^\\u0000-\\u001f\\u007f-\\u009f\\u2028-\\u202e\\u2060-\\u206f<>@"\\\\]*\\Z',
    _('A name has letters, digits, spaces and plain signs, but none of < > @ " \\.'),
)
_PAGE = URLValidator(
    schemes=["https"], message=_("Write a whole address that begins with https://.")
)


def check_colour(text: str) -> None:
    """Raise `ValidationError` for what is no colour."""
    try:
        colours.canonical(text)
    except colours.NotAColour as refusal:
        raise ValidationError(str(refusal)) from refusal


class Brand(models.Model):
    """How the pages and letters of a reseller and its customers look.

    A reseller without one shows the house's own.
    """

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    organisation = models.OneToOneField(
        Organisation,
        verbose_name=_("reseller"),
        on_delete=models.PROTECT,
        related_name="brand",
    )
    product_name = models.CharField(_("product name"), max_length=60, validators=[_NAME])
    accent = models.CharField(_("colour"), max_length=7, validators=[check_colour])
    # Empty for the one that is made from the colour above.
    accent_dark = models.CharField(
        _("colour on dark pages"), max_length=7, blank=True, validators=[check_colour]
    )
    support_email = models.EmailField(_("support address"), max_length=254, blank=True)
    support_url = models.CharField(
        _("support page"), max_length=200, blank=True, validators=[_PAGE]
    )
    logo = models.ForeignKey(
        Logo,
        verbose_name=_("logo"),
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
    )
    changed_at = models.DateTimeField(_("changed"), null=True)

    class Meta:
        verbose_name = _("brand")
        verbose_name_plural = _("brands")

    def __str__(self) -> str:
        return self.product_name

    @property
    def shown_dark(self) -> str:
        """The colour on dark pages: the one that was given, or one made from the other."""
        return self.accent_dark or colours.made_dark(self.accent)


class PanelHostQuerySet(models.QuerySet["PanelHost"]):
    """Which own host names count."""

    def in_force(self) -> Self:
        """Those that the panel answers to."""
        return self.filter(
            state=PanelHost.State.VERIFIED, organisation__kind=Organisation.Kind.RESELLER
        ).exclude(organisation__state=Organisation.State.CLOSED)


def new_token() -> str:
    """What nobody guesses, for a record that proves control."""
    return secrets.token_hex(16)


class PanelHost(models.Model):
    """A host name of its own under which a reseller wants the panel to answer.

    Several may ask for one name; only whoever shows control over it by its records gets it.
    """

    class State(models.TextChoices):
        WAITING = "waiting", _("Waits for its records")
        VERIFIED = "verified", _("Works")

    class Problem(models.TextChoices):
        NONE = "", ""
        NO_PROOF = "no_proof", _("The TXT record is missing, or says something else.")
        LEADS_ELSEWHERE = (
            "leads_elsewhere",
            _("The name does not lead to this panel yet: the CNAME record is missing or wrong."),
        )
        NO_ANSWER = "no_answer", _("The name servers of this name do not answer.")
        TAKEN = "taken", _("Somebody else shows control over this name and uses it here.")

    organisation = models.OneToOneField(
        Organisation,
        verbose_name=_("reseller"),
        on_delete=models.PROTECT,
        related_name="panel_host",
    )
    name = models.CharField(_("host name"), max_length=253)
    token = models.CharField(max_length=32, default=new_token, editable=False)
    state = models.CharField(_("state"), max_length=8, choices=State, default=State.WAITING)
    problem = models.CharField(
        _("what is missing"), max_length=15, choices=Problem, blank=True, default=""
    )
    claimed_at = models.DateTimeField(_("entered"))
    verified_at = models.DateTimeField(_("works since"), null=True)
    checked_at = models.DateTimeField(_("last look"), null=True)
    # When a worker looks next; null for never again, until somebody asks.
    due_at = models.DateTimeField(_("next look"), null=True)
    # Of one that works: since when its records are not what they were.
    failing_since = models.DateTimeField(_("records missing since"), null=True)

    objects = PanelHostQuerySet.as_manager()

    class Meta:
        verbose_name = _("own host name")
        verbose_name_plural = _("own host names")
        constraints = (
            models.UniqueConstraint(
                fields=("name",),
                condition=Q(state="verified"),
                name="hosting_panelhost_one_holder",
            ),
            models.CheckConstraint(
                condition=Q(state="verified", verified_at__isnull=False)
                | Q(state="waiting", verified_at__isnull=True, failing_since__isnull=True),
                name="hosting_panelhost_verified_since",
            ),
        )
        indexes = (
            models.Index(
                fields=("due_at",), condition=Q(due_at__isnull=False), name="hosting_panelhost_due"
            ),
            models.Index(
                fields=("failing_since",),
                condition=Q(failing_since__isnull=False),
                name="hosting_panelhost_failing",
            ),
        )

    def __str__(self) -> str:
        return self.name

    @property
    def is_verified(self) -> bool:
        """Whether the panel answers to it."""
        return self.state == self.State.VERIFIED

    @property
    def proof_name(self) -> str:
        """The name of the TXT record; not the host's own, where an alias lets nothing else lie."""
        return f"_panel-proof.{self.name}"

    @property
    def proof_text(self) -> str:
        """What the TXT record says."""
        return f"panel-proof={self.token}"
