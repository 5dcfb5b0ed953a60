"""Sessions of browsers: the rows behind the cookie, with what people want to know of them."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar, Self

from django.conf import settings
from django.contrib.sessions.backends.db import SessionStore
from django.contrib.sessions.base_session import AbstractBaseSession, BaseSessionManager
from django.db import models
from django.utils.module_loading import import_string
from django.utils.translation import gettext_lazy as _

from accounts.models.people import User


class OpenSessionQuerySet(models.QuerySet["OpenSession"]):
    """Whose sessions, and which still count."""

    def lasting(self, *, at: datetime) -> Self:
        """Those that are not over."""
        started = at - settings.SESSION_LONGEST
        used = at - settings.SESSION_IDLE
        return self.filter(expire_date__gt=at, signed_in_at__gt=started, seen_at__gt=used)

    def of(self, user: User, *, at: datetime) -> Self:
        """Those in which the person is signed in, the one that came last before the others."""
        return self.lasting(at=at).filter(user=user).order_by("-seen_at", "session_key")


class OpenSession(AbstractBaseSession):
    """One session of one browser; who is not signed in has no person. `accounts.session_store`."""

    user = models.ForeignKey(
        User, verbose_name=_("person"), on_delete=models.CASCADE, null=True, related_name="sessions"
    )
    # Where the browser was when it came last, and what it says of itself, cut.
    address = models.CharField(_("address"), max_length=45, blank=True)
    user_agent = models.CharField(_("browser"), max_length=300, blank=True)
    signed_in_at = models.DateTimeField(_("signed in"), null=True)
    seen_at = models.DateTimeField(_("last seen"))

    objects: ClassVar = BaseSessionManager.from_queryset(OpenSessionQuerySet)()

    class Meta(AbstractBaseSession.Meta):
        abstract = False

    def __str__(self) -> str:
        # The key opens the session, so it stands nowhere that people read.
        return f"{self.user or ''} · {self.address}"

    @classmethod
    def get_session_store_class(cls) -> type[SessionStore]:
        """What reads and writes these rows."""
        store: type[SessionStore] = import_string(f"{settings.SESSION_ENGINE}.SessionStore")
        return store


class SignedIn(User):
    """A person by the sessions that are open: keys of sessions are no names for staff pages."""

    class Meta:
        proxy = True
        verbose_name = _("person with open sessions")
        verbose_name_plural = _("open sessions")
