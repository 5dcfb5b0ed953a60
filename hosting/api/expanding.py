"""What a document names by id, put beside it whole when it is asked for (`expand=`)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from hosting import public_ids
from hosting.api.contract import Call
from hosting.api.problems import wrong_parameter

Documents = Sequence[dict[str, Any]]


@dataclass(frozen=True, kw_only=True)
class Expansion:
    """Where the id stands, the scope that its own route needs, and how many are read at once."""

    prefix: str
    scope: str
    read: Callable[[Call, Collection[UUID]], Iterable[Mapping[str, Any]]]

    def documents(self, call: Call, ids: Collection[str]) -> dict[str, Mapping[str, Any]]:
        """Those of the ids that the caller may see."""
        uuids = {public_ids.decode(self.prefix, each) for each in ids}
        return {str(each["id"]): each for each in self.read(call, uuids)}


@dataclass(frozen=True)
class Expander:
    """Puts what `expand` asks for into documents, and refuses what is not known.

    Each name stands beside the id of that name: `domain` beside `domain_id`. Each needs the scope
    of its own route; a few queries, however many documents.
    """

    expansions: Mapping[str, Expansion]

    @property
    def meaning(self) -> str:
        """What the OpenAPI document says of `expand`."""
        names = ", ".join(self.expansions)
        return f"Put these beside their ids, with commas between: {names}."

    def __call__(self, call: Call, documents: Documents) -> None:
        """Put it in; raises a problem."""
        asked = call.query.get("expand")
        names = asked.split(",") if asked is not None else []
        if len(set(names)) < len(names):
            raise wrong_parameter("expand", "A name stands there more than once.")
        for name in names:
            if name not in self.expansions:
                raise wrong_parameter("expand", f"Choose among: {', '.join(self.expansions)}.")
            call.must_have(self.expansions[name].scope)
            _put(call, documents, name, self.expansions[name])


def of(**expansions: Expansion) -> Expander:
    """What can be put beside the documents of one kind."""
    return Expander(expansions)


def _put(call: Call, documents: Documents, name: str, expansion: Expansion) -> None:
    ids = {each[f"{name}_id"] for each in documents if each.get(f"{name}_id")}
    found = expansion.documents(call, ids) if ids else {}
    for each in documents:
        each[name] = found.get(each.get(f"{name}_id") or "")
