"""People: users, organisations, who belongs where, and the events they caused."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any, ClassVar, Self

from django.contrib.auth.models import AbstractBaseUser, BaseUserManager, PermissionsMixin
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.access import Actor, ActorKind


class UserManager(BaseUserManager["User"]):
    """Users are named by their e-mail address, in lower case."""

    def create_user(self, email: str, password: str | None = None, **fields: Any) -> User:
        """Add a user; without a password the account cannot sign in yet."""
        user = self.model(email=self.canonical(email), **fields)
        user.set_password(password)
        user.save(using=self._db)
        return user

    def create_superuser(self, email: str, password: str | None = None, **fields: Any) -> User:
        """Add a user who may do everything in the staff's admin."""
        return self.create_user(email, password, is_staff=True, is_superuser=True, **fields)

    def get_by_natural_key(self, username: str | None) -> User:
        """Find a user however the address was capitalised."""
        return self.get(email=self.canonical(username or ""))

    @staticmethod
    def canonical(email: str) -> str:
        """The one spelling of an e-mail address that is stored and compared."""
        return email.strip().lower()


class User(AbstractBaseUser, PermissionsMixin):
    """A person who signs in to the panel."""

    email = models.EmailField(_("e-mail address"), max_length=254, unique=True)
    name = models.CharField(_("name"), max_length=120, blank=True)
    is_active = models.BooleanField(_("active"), default=True)
    is_staff = models.BooleanField(
        _("staff"),
        default=False,
        help_text=_("May open the staff pages, with a second factor."),
    )
    created_at = models.DateTimeField(_("created"), default=timezone.now, editable=False)

    objects = UserManager()

    USERNAME_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = []

    class Meta:
        verbose_name = _("user")
        verbose_name_plural = _("users")

    def __str__(self) -> str:
        return self.email

    def clean(self) -> None:
        super().clean()
        self.email = UserManager.canonical(self.email)

    def get_short_name(self) -> str:
        """What the pages call the person."""
        return self.name or self.email


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
    are organisations themselves. The tree is three deep, so two steps up are enough.
    """
    if actor.is_staff:
        return Q()
    own = actor.organisation_ids
    return (
        Q(**{f"{path}id__in": own})
        | Q(**{f"{path}parent_id__in": own})
        | Q(**{f"{path}parent__parent_id__in": own})
    )


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
    state_since = models.DateTimeField(_("in this state since"), null=True, editable=False)
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


class Membership(models.Model):
    """A user's role in an organisation."""

    class Role(models.TextChoices):
        OWNER = "owner", _("Owner")
        ADMIN = "admin", _("Admin")
        BILLING = "billing", _("Billing")
        READ_ONLY = "read_only", _("Read only")

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="memberships")
    organisation = models.ForeignKey(
        Organisation,
        on_delete=models.CASCADE,
        related_name="memberships",
    )
    role = models.CharField(_("role"), max_length=10, choices=Role)

    class Meta:
        verbose_name = _("membership")
        verbose_name_plural = _("memberships")
        constraints = (
            models.UniqueConstraint(
                fields=("user", "organisation"),
                name="accounts_membership_once",
            ),
        )

    def __str__(self) -> str:
        return f"{self.user} · {self.organisation} · {self.get_role_display()}"


class EventQuerySet(models.QuerySet["Event"]):
    """Which facts an actor may read."""

    def visible_to(self, actor: Actor) -> Self:
        """Facts about organisations in the actor's tree."""
        return self.filter(below(actor, "organisation__"))


class Event(models.Model):
    """One fact that happened, written in the same transaction as the change itself."""

    seq = models.BigAutoField(primary_key=True)
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
    subject_kind = models.CharField(_("subject kind"), max_length=40)
    subject_id = models.CharField(_("subject id"), max_length=64)
    subject_name = models.CharField(_("subject"), max_length=320)
    data = models.JSONField(_("data"), default=dict)

    objects = EventQuerySet.as_manager()

    class Meta:
        verbose_name = _("event")
        verbose_name_plural = _("events")
        indexes = (models.Index(fields=("organisation", "seq")),)

    def __str__(self) -> str:
        return f"{self.kind} {self.subject_name}"


class Notice(models.Model):
    """An e-mail to a person that waits to be sent; `context` fills `templates/emails/<name>/`."""

    to = models.EmailField(_("to"), max_length=254)
    name = models.CharField(_("name"), max_length=60)
    context = models.JSONField(default=dict)
    # What it is about, for whoever has to know whether it went out.
    about = models.CharField(_("about"), max_length=60, blank=True)
    created_at = models.DateTimeField(_("created"))
    sent_at = models.DateTimeField(_("sent"), null=True)
    tries = models.PositiveIntegerField(_("tries"), default=0)
    # While a worker is at it, this is when another one may be.
    next_try_at = models.DateTimeField(_("next try"), null=True)
    # What the relay said of this recipient.
    failure = models.CharField(_("failure"), max_length=300, blank=True)

    class Meta:
        verbose_name = _("notice")
        verbose_name_plural = _("notices")
        indexes = (
            models.Index(
                fields=("id",), condition=Q(sent_at__isnull=True), name="accounts_notice_unsent"
            ),
            models.Index(fields=("about",), condition=~Q(about=""), name="accounts_notice_about"),
        )

    def __str__(self) -> str:
        return f"{self.name} → {self.to}"
