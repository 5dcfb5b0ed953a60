"""Letters with a link for a new password that somebody asked for, before anybody looks for whom."""

from __future__ import annotations

from django.db import models


class ResetRequest(models.Model):
    """An address as it was typed. The page writes the same row whether or not it is anybody's."""

    email = models.CharField(max_length=254)
    asked_at = models.DateTimeField()

    def __str__(self) -> str:
        return self.email
