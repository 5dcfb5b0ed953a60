"""What the pages of purges and restores have in common: how long, how much, and the batches."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.utils import timezone
from django.utils.timesince import timesince
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from mailstore import quotas
from mailstore.admin.acting import ActingAdmin
from mailstore.admin.tables import Row, Table, first
from mailstore.models import PurgeBatch, PurgeRun, RestoreBatch, RestoreRun


class WorkAdmin(ActingAdmin):
    """Work in batches."""

    @admin.display(description=_("size"))
    def size_text(self, run: PurgeRun | RestoreRun) -> str:
        return quotas.byte_text(run.bytes)

    @admin.display(description=_("lag"))
    def lag_text(self, run: PurgeRun | RestoreRun) -> str:
        """From the plan to its end, or until now."""
        return timesince(run.planned_at, run.finished_at or timezone.now())

    def tables(self, row: Any) -> list[Table]:
        batches, has_more = first(row.batches.order_by("position"))
        return [
            Table(
                title=gettext("Batches"),
                columns=(
                    gettext("Number"),
                    gettext("Folder"),
                    gettext("Messages"),
                    gettext("State"),
                    gettext("Done"),
                ),
                rows=[_line(batch) for batch in batches],
                empty=gettext("There are none."),
                has_more=has_more,
            )
        ]


def place(folder: str, *, in_store: bool) -> str:
    """A folder of the mailbox, or of what was removed from it."""
    return gettext("%(folder)s (removed mail)") % {"folder": folder} if in_store else folder


def _line(batch: PurgeBatch | RestoreBatch) -> Row:
    in_store = isinstance(batch, PurgeBatch) and batch.in_store
    return Row(
        cells=(
            batch.position + 1,
            place(batch.folder, in_store=in_store),
            len(batch.items),
            batch.get_state_display(),
            batch.done_at or "",
        )
    )
