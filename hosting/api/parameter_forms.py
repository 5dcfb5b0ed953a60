"""The forms of parameters beyond those of lists, which mean the same wherever they stand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hosting import public_ids
from hosting.api import listing

_YES_OR_NO = {"type": "boolean"}
_MOMENT = {"type": "string", "format": "date-time"}
_DAY = {"type": "string", "format": "date"}
_ORGANISATION = {"type": "string", "pattern": f"^org_{public_ids.PATTERN}$"}
FORMS: Mapping[str, dict[str, Any]] = {
    "preview": _YES_OR_NO,
    "dry_run": _YES_OR_NO,
    "limit": {"type": "integer", "minimum": 1, "maximum": listing.HIGHEST_LIMIT},
    "after_seq": {"type": "integer", "minimum": 0, "maximum": 2**63 - 1},
    "grain": {"type": "string", "enum": ["day", "month"]},
    "since": _DAY,
    "until": _DAY,
    "removed_since": _MOMENT,
    "removed_before": _MOMENT,
    "customer_id": _ORGANISATION,
    "organisation_id": _ORGANISATION,
}
