"""The end of files: after a week, or where their worker left them behind."""

from __future__ import annotations

from datetime import datetime

from django.db import transaction

from hosting.exports import keeping
from hosting.models import Export

_PIECE = 500


def forget_old(*, at: datetime) -> int:
    """Remove what was kept long enough, and what nobody finished; returns how many files.

    The row forgets its file first: a sweep that is killed in between leaves a file that the next
    one finds, and never a row whose file is gone.
    """
    forgotten = 0
    while names := _forget_piece(at=at):
        for name in names:
            keeping.remove(name)
        forgotten += len(names)
    for name in keeping.left_behind(at=at):
        keeping.remove(name)
        forgotten += 1
    return forgotten


@transaction.atomic
def _forget_piece(*, at: datetime) -> list[str]:
    over = Export.objects.over(at=at).select_for_update().order_by("pk")[:_PIECE]
    names = dict(over.values_list("pk", "stored_as"))
    Export.objects.filter(pk__in=names).update(state=Export.State.FORGOTTEN, stored_as="")
    return list(names.values())
