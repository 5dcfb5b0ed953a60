"""Retention policies, whose previews say what a change saves those who pay for the mail."""

from __future__ import annotations

from collections.abc import Mapping

from django.contrib import admin
from django.http import HttpRequest
from django.utils import timezone

from accounts.access import Capability
from hosting import itemising
from mailstore.admin.policies import RetentionPolicyPages
from mailstore.models import RetentionPolicy


@admin.register(RetentionPolicy)
class RetentionPolicyAdmin(RetentionPolicyPages):
    """The same pages, with money for those who see bills."""

    def saved_text(self, request: HttpRequest, bytes_of: Mapping[int, int]) -> str:
        """As on the pages of customers."""
        if not self.actor(request).can_everywhere(Capability.SEE_BILLS):
            return ""
        return itemising.saved_text(bytes_of, at=timezone.now())
