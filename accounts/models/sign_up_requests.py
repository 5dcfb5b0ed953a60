"""Letters that somebody asked for to open an account, before anybody looks whose the address is."""

from __future__ import annotations

from django.db import models

from accounts.models.organisations import Organisation


class SignUpRequest(models.Model):
    """An address as it was typed, and at whose host; `seller` is null at the house's own."""

    email = models.CharField(max_length=254)
    seller = models.ForeignKey(Organisation, on_delete=models.CASCADE, null=True, related_name="+")
    asked_at = models.DateTimeField()

    def __str__(self) -> str:
        return self.email
