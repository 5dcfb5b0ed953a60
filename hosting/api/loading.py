"""How a thing that an address names is loaded, locked, matched with a version, and lived by.

Each kind of thing says once what the caller may see of it, whose clock it lives by, how its row
is locked and of what its version is made. Every handler about a thing begins with `load` or, if
it changes something, with `locked`; so none forgets one of the four.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar
from uuid import UUID

from django.db.models import Model, QuerySet

from accounts.models import Organisation
from hosting.api import versions
from hosting.api.contract import Answer, Call
from hosting.api.problems import not_found

M = TypeVar("M", bound=Model)


def one(
    call: Call,
    rows: QuerySet[M],
    uuid: UUID,
    *,
    lives_in: Callable[[M], Organisation | None],
) -> M | None:
    """The one of these rows with this id; from here on the call lives by the clock it lives by."""
    found = rows.filter(uuid=uuid).first()
    if found is not None and (organisation := lives_in(found)) is not None:
        call.live_by(organisation)
    return found


@dataclass(frozen=True, kw_only=True)
class Things(Generic[M]):
    """One kind of thing that has an address of its own.

    `rows` gives those that the caller may see, with what documents need; what else stands in the
    address before the thing's own id is handed to it. `lives_in` names the organisation whose
    clock counts, or None for what is about the real world, such as keys and deliveries. `locks`
    locks rows as the verbs about them do. `volatile` names what changes by itself.
    """

    rows: Callable[..., QuerySet[M]]
    lives_in: Callable[[M], Organisation | None]
    locks: QuerySet[M]
    document: Callable[[Call, M], Mapping[str, Any]]
    volatile: Collection[str] = ()

    def load(self, call: Call, uuid: UUID, *above: UUID) -> M:
        """One of them; a stranger's answers like an absent one."""
        found = one(call, self.rows(call, *above), uuid, lives_in=self.lives_in)
        if found is None:
            raise not_found()
        return found

    def locked(
        self,
        call: Call,
        uuid: UUID,
        *above: UUID,
        first: Callable[[M], object] | None = None,
        version: Callable[[Call, M], str] | None = None,
    ) -> M:
        """The same for a change: nobody else changes it meanwhile, and it is the version meant.

        `first` takes the locks that come before the thing's own. `version` is given where the
        address leads to a part of the thing that has a version by itself.
        """
        if first is not None:
            first(self.load(call, uuid, *above))
        self.locks.filter(uuid=uuid).first()
        found = self.load(call, uuid, *above)
        # To make a version costs queries, and without the header there is nothing to compare.
        is_named = call.if_match is not None
        call.must_match((version or self.version)(call, found) if is_named else None)
        return found

    def version(self, call: Call, found: M) -> str:
        """The ETag of a thing that was loaded here."""
        return self.version_of(self.document(call, found))

    def version_of(self, document: Mapping[str, Any]) -> str:
        """The ETag of a document."""
        return versions.etag(document, without=self.volatile)

    def answer(self, call: Call, found: M, *, status: int | None = None) -> Answer:
        """The thing as an answer, with its version."""
        document = self.document(call, found)
        return Answer(document=document, status=status, etag=self.version_of(document))

    def created(
        self, call: Call, found: M, *, below: str, more: Mapping[str, Any] | None = None
    ) -> Answer:
        """A new thing, with its version and where it lies from now on.

        `below` is the address of the list that it belongs to; `more` is shown this once.
        """
        document = self.document(call, found)
        return Answer(
            document={**document, **(more or {})},
            location=f"/api/v1/{below}/{document['id']}",
            etag=self.version_of(document),
        )
