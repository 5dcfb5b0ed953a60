"""Letters to people that wait to be sent."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from accounts.models.organisations import Organisation


class Notice(models.Model):
    """An e-mail to a person that waits to be sent; `context` fills `templates/emails/<name>/`."""

    to = models.EmailField(_("to"), max_length=254)
    name = models.CharField(_("name"), max_length=60)
    context = models.JSONField(default=dict)
    # Whose letter it is, and so in whose name it is written; null for the house itself.
    organisation = models.ForeignKey(
        Organisation,
        verbose_name=_("organisation"),
        on_delete=models.PROTECT,
        null=True,
        related_name="+",
        db_index=False,
    )
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
            models.Index(
                fields=("id",),
                condition=Q(sent_at__isnull=True) & ~Q(failure=""),
                name="accounts_notice_refused",
            ),
            models.Index(fields=("about",), condition=~Q(about=""), name="accounts_notice_about"),
        )

    def __str__(self) -> str:
        return f"{self.name} → {self.to}"
