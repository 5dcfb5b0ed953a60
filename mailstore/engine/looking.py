"""Looking into mailboxes: their folders, and of some of these the messages."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from mailstore.engine.base import Engine, FolderState, MessageSearch, StoredMessage

# What to ask of a folder, or None for nothing.
Choose = Callable[[FolderState], MessageSearch | None]
# Each folder with the messages that were asked for.
Looked = Sequence[tuple[FolderState, Sequence[StoredMessage]]]
_Searches = list[tuple[FolderState, MessageSearch | None]]

# So many mailboxes in one request are as fast as it gets; more would answer later, not sooner.
USERS_AT_ONCE = 50
# So many messages of several mailboxes are held at one time. One mailbox may have more.
_MESSAGES_AT_ONCE = 20_000


def look(*, engine: Engine, user: str, choose: Choose, removed: bool = False) -> Looked:
    """Look into one mailbox, or into its part of the recoverable store."""
    states = engine.folder_states(user=user, removed=removed)
    return [
        (state, _found(engine, search) if search else [])
        for state, search in _chosen(states, choose)
    ]


def look_each(
    *, engine: Engine, choices: Mapping[str, Choose], removed: bool = False
) -> Iterator[dict[str, Looked]]:
    """The same for many, by user, some at a time; those it cannot tell are left out."""
    users = list(choices)
    for start in range(0, len(users), USERS_AT_ONCE):
        asked = users[start : start + USERS_AT_ONCE]
        states = engine.folder_states_each(users=asked, removed=removed)
        searches = {user: _chosen(states[user], choices[user]) for user in asked if user in states}
        for some in _bounded(searches):
            yield _looked(engine, some)


def _chosen(states: Sequence[FolderState], choose: Choose) -> _Searches:
    return [(state, choose(state)) for state in states]


def _found(engine: Engine, search: MessageSearch) -> list[StoredMessage]:
    return engine.messages(
        user=search.user,
        folder=search.folder,
        removed=search.removed,
        saved_before=search.saved_before,
        retrieved=search.retrieved,
        uids=search.uids,
    )


def _bounded(searches: Mapping[str, _Searches]) -> Iterator[dict[str, _Searches]]:
    """Parts with not too many messages in their folders, and with one mailbox at least."""
    part: dict[str, _Searches] = {}
    messages = 0
    for user, of_user in searches.items():
        more = sum(state.messages for state, search in of_user if search)
        if part and messages + more > _MESSAGES_AT_ONCE:
            yield part
            part, messages = {}, 0
        part[user] = of_user
        messages += more
    if part:
        yield part


def _looked(engine: Engine, searches: Mapping[str, _Searches]) -> dict[str, Looked]:
    wanted = [search for of_user in searches.values() for _state, search in of_user if search]
    answers = iter(engine.messages_each(searches=wanted) if wanted else ())
    looked: dict[str, Looked] = {}
    for user, of_user in searches.items():
        found = [(state, next(answers) if search else []) for state, search in of_user]
        told = [(state, messages) for state, messages in found if messages is not None]
        if len(told) == len(found):
            looked[user] = told
    return looked
