"""Every deed there is, by its name."""

from __future__ import annotations

from collections.abc import Mapping

from hosting.bulk import mailboxes, organisations, resending
from hosting.bulk.deeds import Deed

DEEDS: Mapping[str, Deed] = {
    deed.name: deed for deed in (*mailboxes.DEEDS, *organisations.DEEDS, *resending.DEEDS)
}
