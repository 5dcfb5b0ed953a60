"""Who is guessing at whose mailbox password, as staff see it."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.staff import ReadOnlyAdmin
from mailstore import guessing
from mailstore.models import GuessingAlarm


@admin.register(GuessingAlarm)
class GuessingAlarmAdmin(ReadOnlyAdmin):
    """Spells of guesses that were noticed, with how far they have come."""

    list_display = ("mailbox", "began_at", "tries", "addresses", "noticed_at", "told_at")
    list_select_related = ("mailbox",)
    search_fields = ("mailbox__address",)
    fields = ("mailbox", "began_at", "tries", "addresses", "noticed_at", "told_at")
    csv_columns = ("mailbox__address", "began_at", "noticed_at", "told_at")

    def complete(self, rows: list[Any]) -> None:
        """Read what goes on at all of a page at once."""
        super().complete(rows)
        spells = guessing.spells([row.mailbox.address for row in rows], at=timezone.now())
        for row in rows:
            row.spell = spells.get(row.mailbox.address)

    @admin.display(description=_("tries"))
    def tries(self, alarm: GuessingAlarm) -> object:
        found = _spell_of(alarm)
        return found.tries if found else _("over")

    @admin.display(description=_("addresses"))
    def addresses(self, alarm: GuessingAlarm) -> object:
        found = _spell_of(alarm)
        return found.addresses if found else ""


def _spell_of(alarm: GuessingAlarm) -> guessing.Spell | None:
    """The spell if it goes on; a page of one alarm has not read it yet."""
    if hasattr(alarm, "spell"):
        known: guessing.Spell | None = alarm.spell
    else:
        known = guessing.spell(alarm.mailbox, at=timezone.now())
    return known if known is not None and known.since == alarm.began_at else None
