"""Organisations, the tree they stand in, and what is stopped for each."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Mapping
from typing import Any, Self, TypedDict

from django.db import models
from django.db.models import Q
from django.db.models.functions import Lower
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.access import Actor


class Switches(models.Model):
    """Signing in, receiving and sending, each by itself; and the same for those below.

    What is stopped `below` is stopped for the customers of a reseller.
    """

    class SignIn(models.TextChoices):
        OPEN = "open", _("Signing in works")
        READ_ONLY = "read_only", _("Mail can be read, not changed")
        SHUT = "shut", _("Nobody signs in to a mailbox")

    class Receiving(models.TextChoices):
        OPEN = "open", _("Mail arrives")
        PUT_OFF = "put_off", _("New mail waits at its senders")

    class Sending(models.TextChoices):
        OPEN = "open", _("Sending works")
        LIMITED = "limited", _("Sending is limited")
        SHUT = "shut", _("Nothing can be sent")

    sign_in = models.CharField(
        _("signing in"), max_length=9, choices=SignIn, default=SignIn.OPEN, db_default="open"
    )
    receiving = models.CharField(
        _("receiving"), max_length=8, choices=Receiving, default=Receiving.OPEN, db_default="open"
    )
    sending = models.CharField(
        _("sending"), max_length=8, choices=Sending, default=Sending.OPEN, db_default="open"
    )
    sign_in_below = models.CharField(
        _("signing in below"), max_length=9, choices=SignIn, default=SignIn.OPEN, db_default="open"
    )
    receiving_below = models.CharField(
        _("receiving below"),
        max_length=8,
        choices=Receiving,
        default=Receiving.OPEN,
        db_default="open",
    )
    sending_below = models.CharField(
        _("sending below"), max_length=8, choices=Sending, default=Sending.OPEN, db_default="open"
    )

    class Meta:
        abstract = True


# Each switch by its name, with what it can stand on, from open to all that can be stopped.
SWITCHES: Mapping[str, list[str]] = {
    f"{name}{where}": choices.values
    for name, choices in (
        ("sign_in", Switches.SignIn),
        ("receiving", Switches.Receiving),
        ("sending", Switches.Sending),
    )
    for where in ("", "_below")
}


class OrganisationQuerySet(models.QuerySet["Organisation"]):
    """Which organisations an actor may know of."""

    def visible_to(self, actor: Actor) -> Self:
        """Those the actor is a member of and all below them; staff see all."""
        return self.filter(below(actor))


def below(actor: Actor, path: str = "") -> Q:
    """A condition on rows whose organisation, reached by `path`, lies in the actor's tree.

    `path` ends with two underscores (`organisation__`); an empty one stands for rows that
    are organisations themselves. The condition names organisations and never looks up the tree
    from a row, so a database finds the rows of a small tree among millions by an index.
    """
    if actor.is_staff:
        return Q()
    mode = Q() if actor.is_test is None else Q(**{f"{path}is_test": actor.is_test})
    if actor.house_id in actor.organisation_ids:
        return mode
    return mode & Q(**{f"{path}id__in": _tree(actor)})


def _tree(actor: Actor) -> Collection[int] | models.QuerySet[Organisation, Any]:
    """The organisations of somebody who is not of the house, and the customers below them."""
    own = actor.organisation_ids
    sellers = own & actor.seller_ids
    if not sellers:
        return own
    known = Organisation.objects.filter(pk__in=own)
    customers = Organisation.objects.filter(parent__in=sellers)
    return known.values("pk").union(customers.values("pk"))


class Standing(TypedDict):
    """Where an actor stands in the tree, as fields of `Actor`."""

    seller_ids: frozenset[int]
    house_id: int | None


def standing_of(kinds: Mapping[int, str]) -> Standing:
    """Where somebody stands who is of these organisations, given by key with their kinds."""
    kind_of = Organisation.Kind
    return {
        "seller_ids": frozenset(key for key, kind in kinds.items() if kind != kind_of.CUSTOMER),
        "house_id": next((key for key, kind in kinds.items() if kind == kind_of.PROVIDER), None),
    }


def on_clock_of(organisation: Organisation | None, path: str = "") -> Q:
    """A condition on rows whose organisation, reached by `path`, lives by one clock.

    That of a test organisation, or with None the real one, by which all the others live: what
    sweeps by the real clock leaves test organisations to theirs.
    """
    if organisation is None:
        return Q(**{f"{path}is_test": False})
    return Q(**{f"{path}id": organisation.pk})


class Organisation(Switches):
    """Who owns things: the provider, a reseller below it, a customer below either.

    Its state and switches are the sum of the restrictions that stand on it, kept here because
    the mail server reads them at every sign-in (`mailstore.standing`).
    """

    class Kind(models.TextChoices):
        PROVIDER = "provider", _("Provider")
        RESELLER = "reseller", _("Reseller")
        CUSTOMER = "customer", _("Customer")

    class State(models.TextChoices):
        ACTIVE = "active", _("Active")
        PAST_DUE = "past_due", _("Payment is late")
        SUSPENDED = "suspended", _("Suspended")
        CLOSED = "closed", _("Closed")

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    kind = models.CharField(_("kind"), max_length=10, choices=Kind)
    name = models.CharField(_("name"), max_length=120)
    # What the seller calls it in its own books; no two of its customers share one.
    external_ref = models.CharField(
        _("reference of the seller"), max_length=120, blank=True, default="", db_default=""
    )
    parent = models.ForeignKey(
        "self",
        verbose_name=_("parent"),
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="children",
    )
    state = models.CharField(
        _("state"), max_length=9, choices=State, default=State.ACTIVE, db_default="active"
    )
    # Made by a program that is being tried out: it has a clock of its own and is never billed.
    is_test = models.BooleanField(_("for testing"), default=False, db_default=False)
    state_since = models.DateTimeField(_("in this state since"), null=True, editable=False)
    # Its last owner was shut out then, and nobody has come to own it since.
    unanswered_since = models.DateTimeField(
        _("nobody answers for it since"), null=True, blank=True, editable=False
    )
    # What new mailboxes begin with (`mailstore.sign_in_policy`); it stands here because whoever
    # opens one has this row in hand, with a list of thousands as well.
    app_passwords_only = models.BooleanField(
        _("new mailboxes: app passwords only"), default=False, db_default=False, editable=False
    )
    created_at = models.DateTimeField(_("created"), default=timezone.now, editable=False)

    objects = OrganisationQuerySet.as_manager()

    class Meta:
        verbose_name = _("organisation")
        verbose_name_plural = _("organisations")
        constraints = (
            models.CheckConstraint(
                name="accounts_organisation_only_provider_is_root",
                condition=Q(kind="provider", parent__isnull=True)
                | Q(kind__in=["reseller", "customer"], parent__isnull=False),
            ),
            models.UniqueConstraint(
                fields=("kind",),
                condition=Q(kind="provider"),
                name="accounts_organisation_one_provider",
                violation_error_message=_("There is a provider already."),
            ),
            models.CheckConstraint(
                name="accounts_organisation_provider_stays_active",
                condition=~Q(kind="provider") | Q(state="active"),
            ),
            models.CheckConstraint(
                name="accounts_organisation_only_customers_are_tests",
                condition=Q(is_test=False) | Q(kind="customer"),
                violation_error_message=_("Only customers can be there for testing."),
            ),
            models.UniqueConstraint(
                fields=("parent", "external_ref"),
                condition=~Q(external_ref=""),
                name="accounts_organisation_ref_once",
                violation_error_message=_("Another customer has this reference."),
            ),
        )
        indexes = (
            models.Index(Lower("name"), name="accounts_organisation_name"),
            models.Index(fields=("external_ref",), name="accounts_organisation_ref"),
            models.Index(
                fields=("unanswered_since",),
                condition=Q(unanswered_since__isnull=False),
                name="accounts_organisation_left",
            ),
        )

    def __str__(self) -> str:
        return self.name

    @property
    def subject(self) -> tuple[str, str, str]:
        """How events name this organisation."""
        return ("organisation", str(self.uuid), self.name)

    @property
    def lineage(self) -> tuple[int, ...]:
        """The ids of this organisation and those above it; load `parent` with the row."""
        ids = [self.pk]
        if self.parent_id is not None:
            ids.append(self.parent_id)
            if self.parent is not None and self.parent.parent_id is not None:
                ids.append(self.parent.parent_id)
        return tuple(ids)
