"""People who sign in to the panel."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib.auth.models import AbstractBaseUser, BaseUserManager, PermissionsMixin
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _


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
    # When somebody last showed that letters to the address are read; null until then.
    email_verified_at = models.DateTimeField(_("address confirmed"), null=True, editable=False)

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


class KnownAddress(models.Model):
    """From where a person has signed in: an address, or the network of an IPv6 one."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="known_addresses")
    holder = models.CharField(max_length=43)
    last_at = models.DateTimeField()
    # When a second factor was last proved from there.
    proved_at = models.DateTimeField(null=True)

    class Meta:
        verbose_name = _("known address")
        verbose_name_plural = _("known addresses")
        constraints = (
            models.UniqueConstraint(fields=("user", "holder"), name="accounts_knownaddress_once"),
        )

    def __str__(self) -> str:
        return f"{self.user} · {self.holder}"


class KnownBrowser(models.Model):
    """A browser in which a person has signed in. It keeps a token, of which this is the digest."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="known_browsers")
    digest = models.CharField(max_length=64)
    # From how many addresses that were new to the person it has come.
    moves = models.PositiveSmallIntegerField(default=0)
    last_at = models.DateTimeField()

    class Meta:
        verbose_name = _("known browser")
        verbose_name_plural = _("known browsers")
        constraints = (
            models.UniqueConstraint(fields=("user", "digest"), name="accounts_knownbrowser_once"),
        )

    def __str__(self) -> str:
        return f"{self.user} · {self.last_at:%Y-%m-%d}"
