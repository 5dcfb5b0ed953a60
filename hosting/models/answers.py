"""Answers of the API that are given again when the same request comes again."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

from accounts.models import Organisation


class KeptAnswer(models.Model):
    """The answer to one request that came with an `Idempotency-Key`.

    Only a digest of that key is kept, and the body is sealed with the key itself.
    """

    organisation = models.ForeignKey(Organisation, on_delete=models.CASCADE, related_name="+")
    is_test = models.BooleanField()
    key_digest = models.CharField(max_length=64)
    fingerprint = models.CharField(max_length=64)
    status = models.PositiveSmallIntegerField()
    headers = models.JSONField(default=dict)
    sealed_body = models.BinaryField()
    created_at = models.DateTimeField(_("created"), db_index=True)

    class Meta:
        verbose_name = _("kept answer")
        verbose_name_plural = _("kept answers")
        constraints = (
            models.UniqueConstraint(
                fields=("organisation", "is_test", "key_digest"), name="hosting_keptanswer_once"
            ),
        )

    def __str__(self) -> str:
        return f"{self.status} {self.created_at}"
