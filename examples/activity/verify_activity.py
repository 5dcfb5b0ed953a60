"""Checks a proof of activity with nothing but Python.

    python verify_activity.py FILE [EARLIER]

Each line of the file carries the text of one event and its link. A link is

    SHA-256(link before, new line, text, new line)

in hexadecimal, and 64 zeros stand before the first. With an earlier file of the same organisation
it also says whether that one is the beginning of this one.

Exit status: 0 if all is whole, 1 if not, 2 if the file is no proof.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

BEGINNING = "0" * 64


class NoProof(Exception):
    """The file is something else, or it was cut off."""


def read(path: Path) -> tuple[str, list[dict[str, Any]], dict[str, Any]]:
    """The organisation, its events and what the file says of its end."""
    try:
        with path.open(encoding="utf-8") as file:
            first, *events, head = [json.loads(line) for line in file]
    except (OSError, ValueError) as error:
        message = f"{path} cannot be read as a proof: {error}"
        raise NoProof(message) from error
    if first.get("object") != "activity_proof" or head.get("object") != "head":
        message = f"{path} is no whole proof."
        raise NoProof(message)
    return first["organisation"], events, head


def faults(organisation: str, events: list[dict[str, Any]], head: dict[str, Any]) -> Iterator[str]:
    """Everything that is not as it was written."""
    before = BEGINNING
    for place, event in enumerate(events, start=1):
        text = event["line"]
        told = json.loads(text)
        if told["place"] != place:
            yield f"Line {place} says that it is line {told['place']}: something is gone or new."
        if told["organisation"] != organisation:
            yield f"Line {place} is about another organisation."
        if hashlib.sha256(f"{before}\n{text}\n".encode("ascii")).hexdigest() != event["link"]:
            yield f"Line {place} is not as it was written, or the one before is not."
        if "origin" in event and commitment(event["origin"]) != told["origin"]:
            yield f"From where line {place} was done is not what was written."
        before = event["link"]
    if (head["place"], head["link"] or BEGINNING) != (len(events), before):
        yield f"The file has {len(events)} lines and says that it ends with line {head['place']}."


def commitment(origin: dict[str, str]) -> str:
    """What the text of an event holds of the address and the session."""
    text = f"{origin['address']}\n{origin['session']}"
    return hmac.new(bytes.fromhex(origin["salt"]), text.encode(), hashlib.sha256).hexdigest()


def differences(now: list[dict[str, Any]], earlier: list[dict[str, Any]]) -> Iterator[str]:
    """Whether an earlier file is the beginning of this one."""
    if len(now) < len(earlier):
        yield f"The earlier file has {len(earlier)} lines and this one {len(now)}: the end is gone."
    for place, (new, old) in enumerate(zip(now, earlier, strict=False), start=1):
        if new["link"] != old["link"]:
            yield f"Line {place} is another one than in the earlier file."
            return


def main(arguments: list[str]) -> int:
    """Check one file, and the one before it if there is one."""
    if not 1 <= len(arguments) <= 2:  # noqa: PLR2004  # a file and an earlier one
        sys.stderr.write(f"{__doc__}\n")
        return 2
    try:
        organisation, events, head = read(Path(arguments[0]))
        found = list(faults(organisation, events, head))
        if len(arguments) > 1:
            _organisation, earlier, _head = read(Path(arguments[1]))
            found += differences(events, earlier)
    except (NoProof, KeyError, TypeError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    for fault in found:
        sys.stdout.write(f"{fault}\n")
    if not found:
        sys.stdout.write(f"All {len(events)} lines are as they were written.\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
