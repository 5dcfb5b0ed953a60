"""Changes that cool off, each by the clock of the organisation that it belongs to."""

from __future__ import annotations

from datetime import datetime

from django.contrib import admin

from hosting import clocks
from mailstore.admin.changes import PendingChangePages
from mailstore.models import PendingChange


@admin.register(PendingChange)
class PendingChangeAdmin(PendingChangePages):
    """The same pages, where a test organisation has a time of its own."""

    def moment_of(self, change: PendingChange) -> datetime:
        """So that a change that is let through is due where the clock of its test stands."""
        return clocks.now_for(change.organisation)
