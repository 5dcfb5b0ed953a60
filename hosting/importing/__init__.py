"""Lists of mailboxes as CSV: read, checked line by line, and opened in pieces."""

from hosting.importing.lists import (
    COLUMNS,
    NEEDED_COLUMNS,
    Checked,
    Record,
    Row,
    asks_for_app_passwords,
    check,
    check_records,
    decode,
    read,
)
from hosting.importing.opening import Applied, KeepSecrets, Secret, apply, open_rows
from hosting.piecework import Problem, UnreadableList

__all__ = [
    "COLUMNS",
    "NEEDED_COLUMNS",
    "Applied",
    "Checked",
    "KeepSecrets",
    "Problem",
    "Record",
    "Row",
    "Secret",
    "UnreadableList",
    "apply",
    "asks_for_app_passwords",
    "check",
    "check_records",
    "decode",
    "open_rows",
    "read",
]
