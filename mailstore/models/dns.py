"""What the DNS says of domains: where their mail goes, and since when it goes elsewhere."""

from __future__ import annotations

from typing import Self

from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from mailstore.models.domains import Domain


class DomainDnsQuerySet(models.QuerySet["DomainDns"]):
    """Domains by what their records say."""

    def failing(self) -> Self:
        """Those whose mail has not come here for so long that their owners are told."""
        return self.filter(failing_since__isnull=False)


class DomainDns(models.Model):
    """What was found of one domain, and when it is looked at next.

    A domain has such a row from when it is confirmed; names that are for tests alone have none.
    """

    class Finding(models.TextChoices):
        # Nobody has answered yet.
        UNKNOWN = "unknown", _("Not known yet")
        HERE = "here", _("Mail comes here")
        # Other servers stand beside ours, or before them.
        PARTLY = "partly", _("Mail comes here, and goes to other servers as well")
        NO_MX = "no_mx", _("There is no MX record")
        NULL_MX = "null_mx", _("The MX record says that the domain takes no mail")
        ELSEWHERE = "elsewhere", _("The MX records lead to other servers")

    class State(models.TextChoices):
        UNKNOWN = "unknown", _("Not looked at yet")
        OK = "ok", _("Mail comes here")
        # Not for so long that anybody is told.
        NOT_HERE = "not_here", _("Mail did not come here at the last look")
        FAILING = "failing", _("Mail does not come here")

    SEEN_LETTERS = 300

    domain = models.OneToOneField(
        Domain,
        verbose_name=_("domain"),
        on_delete=models.CASCADE,
        related_name="dns",
        primary_key=True,
    )
    # A worker that looks moves it on first: that is its lease.
    due_at = models.DateTimeField(_("next look"), default=timezone.now)
    # Looks that nobody answered are none.
    checked_at = models.DateTimeField(_("last look"), null=True)
    finding = models.CharField(
        _("finding"), max_length=10, choices=Finding, default=Finding.UNKNOWN
    )
    seen = models.CharField(_("MX records"), max_length=SEEN_LETTERS, default="", blank=True)
    # When mail was last found to come here; never, for a domain that is still on its way.
    here_at = models.DateTimeField(_("last came here"), null=True)
    # The looks in a row, up to the last, that did not find it here.
    missing_since = models.DateTimeField(_("missing since"), null=True)
    missing_looks = models.PositiveIntegerField(_("looks since then"), default=0)
    failing_since = models.DateTimeField(_("failing since"), null=True)
    told_at = models.DateTimeField(_("owners told"), null=True)
    # The web site of the domain lies at an address at which its mail is taken.
    cohosted_seen_at = models.DateTimeField(_("web site first seen with mail"), null=True)
    cohosted_since = models.DateTimeField(_("web site with mail since"), null=True)

    objects = DomainDnsQuerySet.as_manager()

    class Meta:
        verbose_name = _("DNS of a domain")
        verbose_name_plural = _("DNS of domains")
        indexes = (
            models.Index(fields=("due_at",), name="mailstore_domaindns_due"),
            models.Index(
                fields=("failing_since",),
                condition=Q(failing_since__isnull=False),
                name="mailstore_domaindns_failing",
            ),
        )
        constraints = (
            # Nothing fails of which it is not known since when it is missing.
            models.CheckConstraint(
                condition=Q(failing_since__isnull=True) | Q(missing_since__isnull=False),
                name="mailstore_domaindns_fails_while_missing",
            ),
        )

    def __str__(self) -> str:
        return f"{self.domain} · {self.get_finding_display()}"

    @property
    def is_here(self) -> bool:
        """Whether the last look that was answered found mail to come here."""
        return self.finding in {self.Finding.HERE, self.Finding.PARTLY}

    @property
    def state(self) -> State:
        """How it is, all in all."""
        if self.failing_since is not None:
            return self.State.FAILING
        if self.finding == self.Finding.UNKNOWN:
            return self.State.UNKNOWN
        return self.State.OK if self.is_here else self.State.NOT_HERE
