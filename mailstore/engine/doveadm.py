"""The engine over Dovecot's admin API and its LMTP."""

from __future__ import annotations

import smtplib
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from django.conf import settings

from mailstore.engine import asking, sizing, store
from mailstore.engine.admin_api import MAILBOX_EXISTS, NOTHING_FOUND, AdminAPI, CommandFailed
from mailstore.engine.base import (
    BEGUN,
    EVERYTHING,
    DeliveryRefused,
    EngineUnavailable,
    FolderState,
    FolderUsage,
    MessageSearch,
    Present,
    RemovedEntry,
    RemovedMessage,
    RemovedSearch,
    Service,
    Size,
    StoredMessage,
    uid_set,
)

_REMOVED_FIELDS = ["mailbox", "uid", "guid", "size.virtual", "date.saved.unixtime"]
_REMOVED_HEADERS = ("hdr.from.utf8", "hdr.subject.utf8")

# Programs see this keyword only in the flags of a message, and leave it alone.
_SET_ASIDE = "$ReadBefore"
_SEEN = "\\Seen"

_WILDCARDS = frozenset("*?%")


class DoveadmEngine:
    """A real Dovecot on the network."""

    def __init__(
        self,
        *,
        doveadm: tuple[str, int],
        api_key: str,
        lmtp: tuple[str, int],
        timeout_seconds: float = 60,
    ) -> None:
        host, port = doveadm
        self._api = AdminAPI(host=host, port=port, key=api_key, timeout_seconds=timeout_seconds)
        self._lmtp = lmtp
        self._timeout_seconds = timeout_seconds

    def create_mailbox(self, *, user: str, folders: Sequence[str]) -> None:
        """Make the folders; then have Dovecot report the use, which starts at nothing."""
        self._api.call("mailboxCreate", MAILBOX_EXISTS, user=user, mailbox=["INBOX"])
        for folder in folders:
            self._api.call("mailboxCreate", MAILBOX_EXISTS, user=user, mailbox=[folder])
        if folders:
            self._api.call("mailboxSubscribe", user=user, mailbox=list(folders))
        self.recalculate_usage(user=user)

    def folder_usage(self, *, user: str) -> list[FolderUsage]:
        """Every folder that a person can see, in the server's order."""
        fields = ["messages", "vsize", "unseen"]
        found = self._api.call("mailboxStatus", user=user, field=fields, mailboxMask=["*"])
        return [
            FolderUsage(
                folder=row["mailbox"],
                messages=int(row["messages"]),
                bytes=int(row["vsize"]),
                unseen=int(row["unseen"]),
            )
            for row in found
        ]

    def sizes(self, *, users: Sequence[str]) -> dict[str, Size]:
        """One request for many of them."""
        return sizing.sizes(self._api, users)

    def recalculate_usage(self, *, user: str) -> None:
        """Count anew."""
        self._api.call("quotaRecalc", user=user)

    def end_sessions(self, *, user: str) -> int:
        """End every open session of the mailbox."""
        sessions = self._api.call("who", NOTHING_FOUND, mask=[user])
        self._api.call("kick", NOTHING_FOUND, mask=[user])
        return sum(int(row.get("connections", 0)) for row in sessions)

    def deliver(self, *, recipient: str, message: bytes, sender: str) -> None:
        """Deliver by LMTP, as a mail exchanger would."""
        try:
            with smtplib.LMTP(*self._lmtp, timeout=self._timeout_seconds) as client:
                client.sendmail(sender, [recipient], message)
        except smtplib.SMTPRecipientsRefused as error:
            code, text = error.recipients[recipient]
            raise DeliveryRefused(code=code, text=_readable(text)) from error
        except smtplib.SMTPResponseException as error:
            raise DeliveryRefused(code=error.smtp_code, text=_readable(error.smtp_error)) from error
        except (OSError, smtplib.SMTPException) as error:
            message_text = f"LMTP at {self._lmtp[0]}:{self._lmtp[1]} does not answer: {error}"
            raise EngineUnavailable(message_text) from error

    def store(self, *, user: str, folder: str, message: bytes) -> None:
        """Put a message in; the admin API is not held to the limit."""
        text = message.decode("utf-8", "surrogateescape").encode("utf-8", "replace").decode()
        self._api.call("save", user=user, mailbox=folder, file=text)

    def removed_mail(
        self, *, user: str, search: RemovedSearch = EVERYTHING, headers: bool = True
    ) -> list[RemovedMessage]:
        """What lies in the recoverable store, with the folder each message came from."""
        fields = [*_REMOVED_FIELDS, *(_REMOVED_HEADERS if headers else ())]
        found = self._api.call(
            "fetch", NOTHING_FOUND, user=user, field=fields, query=store.removed_query(search)
        )
        return [store.removed_message(row) for row in found]

    def removed_index(self, *, user: str, search: RemovedSearch = EVERYTHING) -> list[RemovedEntry]:
        """What the index alone knows, which costs a tenth of what headers do."""
        fields = ["mailbox", "uid", "date.saved.unixtime"]
        found = self._api.call(
            "fetch", NOTHING_FOUND, user=user, field=fields, query=store.removed_query(search)
        )
        return [
            RemovedEntry(
                folder=store.origin(row["mailbox"]),
                uid=int(row["uid"]),
                removed_at=store.moment(row["date.saved.unixtime"]),
            )
            for row in found
        ]

    def removed_chosen(
        self, *, user: str, chosen: Mapping[str, Collection[int]]
    ) -> list[RemovedMessage]:
        """One request for all folders that the store has; names come from a page."""
        known = {state.folder for state in self.folder_states(user=user, removed=True)}
        fields = [*_REMOVED_FIELDS, *_REMOVED_HEADERS]
        queries = [
            [*self._in(user, store.kept(folder)), "uid", uid_set(uids)]
            for folder, uids in chosen.items()
            if folder in known and uids
        ]
        commands = [("fetch", {"user": user, "field": fields, "query": query}) for query in queries]
        found = self._api.call_all(commands, tolerated=NOTHING_FOUND) if commands else []
        return [store.removed_message(row) for rows in found for row in rows]

    def folder_states(self, *, user: str, removed: bool = False) -> list[FolderState]:
        """Folders with the arrival of their oldest message."""
        [rows] = self._api.call_all([asking.for_states(user, removed=removed)])
        return asking.states(rows, removed=removed)

    def folder_states_each(
        self, *, users: Sequence[str], removed: bool = False
    ) -> dict[str, list[FolderState]]:
        """One request for all of them."""
        answers = self._api.call_each([asking.for_states(user, removed=removed) for user in users])
        return {
            user: asking.states(rows, removed=removed)
            for user, rows in zip(users, answers, strict=True)
            if rows is not None
        }

    def messages(
        self,
        *,
        user: str,
        folder: str,
        removed: bool = False,
        saved_before: datetime | None = None,
        retrieved: bool = False,
        untouched: bool = False,
        uids: Sequence[int] | None = None,
    ) -> list[StoredMessage]:
        """Messages by their numbers; a program that fetched one left it marked as seen."""
        search = MessageSearch(
            user=user,
            folder=folder,
            removed=removed,
            saved_before=saved_before,
            retrieved=retrieved,
            untouched=untouched,
            uids=uids,
        )
        place = self._place(search)
        if not place:
            return []
        command = asking.for_messages(search, place)
        [rows] = self._api.call_all([command], tolerated=NOTHING_FOUND)
        return asking.messages(rows)

    def messages_each(
        self, *, searches: Sequence[MessageSearch]
    ) -> list[list[StoredMessage] | None]:
        """One request for all of them, and one before for each folder with a wildcard."""
        places = [self._place(search) for search in searches]
        commands = [
            asking.for_messages(search, place)
            for search, place in zip(searches, places, strict=True)
            if place
        ]
        answers = iter(self._api.call_each(commands, tolerated=NOTHING_FOUND) if commands else ())
        found = [next(answers) if place else [] for place in places]
        return [None if rows is None else asking.messages(rows) for rows in found]

    def present(
        self, *, user: str, folder: str, uids: Sequence[int], removed: bool = False
    ) -> Present:
        """Ask for the folder and its messages in one request."""
        name = store.kept(folder) if removed else folder
        place = self._in(user, name)
        if not place or not uids:
            return Present(uidvalidity=0, guids={})
        # A wildcard in the name may bring other folders along, which are dropped below.
        state = {"user": user, "field": ["uidvalidity"], "mailboxMask": [name]}
        query = [*place, "uid", uid_set(uids)]
        fetch = {"user": user, "field": ["uid", "guid"], "query": query}
        states, rows = self._api.call_all(
            [("mailboxStatus", state), ("fetch", fetch)], tolerated=NOTHING_FOUND
        )
        found = [int(row["uidvalidity"]) for row in states if row["mailbox"] == name]
        return Present(
            uidvalidity=found[0] if found else 0,
            guids={int(row["uid"]): row["guid"] for row in rows},
        )

    def arrived(self, *, user: str, since: datetime) -> set[str]:
        """Of folders that a person can see."""
        query = ["mailbox", "*", "savedsince", store.seconds(since)]
        found = self._api.call("fetch", NOTHING_FOUND, user=user, field=["guid"], query=query)
        return {row["guid"] for row in found}

    def remove(self, *, user: str, folder: str, uids: Sequence[int]) -> None:
        """Move into the store.

        To expunge would leave that to the configuration, by which a message goes for good if
        its file has a second name; and a server that was killed leaves such names behind.
        """
        place = self._in(user, folder)
        if not place or not uids:
            return
        self._move([*place, "uid", uid_set(uids)], store.kept(folder), user=user)

    def remove_for_good(self, *, user: str, folder: str, uids: Sequence[int]) -> None:
        """Expunge from the store itself."""
        self._expunge(user, store.kept(folder), uids)

    def restore(
        self, *, user: str, folder: str, uids: Sequence[int], as_unfetched: bool = False
    ) -> None:
        """Move out of the store; flags and keywords come along.

        The mark goes before the move, so whoever dies in between leaves nothing half done.
        """
        place = self._in(user, store.kept(folder))
        if not place or not uids:
            return
        query = [*place, "uid", uid_set(uids)]
        if as_unfetched:
            for flag in (_SEEN, BEGUN):
                self._flags("flagsRemove", user, flag, query)
        if folder != "INBOX":
            # It may be done before the folder is made, so nothing can come between the two.
            self._api.call("mailboxSubscribe", user=user, mailbox=[folder])
        self._move(query, folder, user=user)

    def copy_flags(self, *, user: str, folder: str, twins: Mapping[int, int]) -> None:
        """Read the store's flags, and add each set of them to all that have it."""
        removed = self._in(user, store.kept(folder))
        place = self._in(user, folder)
        if not (removed and place and twins):
            return
        query = [*removed, "uid", uid_set(sorted(twins))]
        found = self._api.call(
            "fetch", NOTHING_FOUND, user=user, field=["uid", "flags"], query=query
        )
        uids: defaultdict[str, list[int]] = defaultdict(list)
        for row in found:
            uids[row["flags"].replace("\\Recent", "")].append(twins[int(row["uid"])])
        for flags, same in uids.items():
            if flags.split():
                query = [*place, "uid", uid_set(sorted(same))]
                self._api.call(
                    "flagsAdd", NOTHING_FOUND, user=user, flag=flags.split(), query=query
                )

    def set_reads_aside(self, *, user: str, uids: Sequence[int], as_begun: bool = False) -> None:
        """The keyword first: a server that dies in between has forgotten nothing."""
        if uids:
            query = ["mailbox", "INBOX", "uid", uid_set(uids)]
            self._flags("flagsAdd", user, BEGUN if as_begun else _SET_ASIDE, query)
            self._flags("flagsRemove", user, _SEEN, query)

    def bring_reads_back(self, *, user: str) -> None:
        """The mark first, for the same reason."""
        query = ["mailbox", "INBOX", "keyword", _SET_ASIDE]
        self._flags("flagsAdd", user, _SEEN, query)
        self._flags("flagsRemove", user, _SET_ASIDE, query)

    def _flags(self, command: str, user: str, flag: str, query: list[str]) -> None:
        self._api.call(command, NOTHING_FOUND, user=user, flag=[flag], query=query)

    def gather(self, *, user: str, folder: str, uids: Sequence[int]) -> None:
        """Move within the home, which takes no space."""
        place = self._in(user, folder)
        if place and uids:
            self._move([*place, "uid", uid_set(uids)], "INBOX", user=user)

    def erase(self, *, user: str) -> None:
        """Remove all mail through the index, then the home with what is left in it."""
        for mask in ("*", store.EVERY_REMOVED):
            query = ["mailbox", mask, "all"]
            self._api.call("expunge", NOTHING_FOUND, user=user, query=query)
        home = self._api.call("user", userMask=[user])
        path = home[user]["home"] if isinstance(home, dict) else home[0][user]["home"]
        self._api.call(
            "fsDelete",
            NOTHING_FOUND,
            recursive=True,
            fsDriver="posix",
            fsArgs="dirs",  # Without this, folders stay when what was in them is gone.
            path=[f"{path}/"],
        )

    def _move(self, query: Sequence[str], target: str, *, user: str) -> None:
        """Move into a folder; making it first would cost a call for each batch."""
        given: dict[str, Any] = {"user": user, "destinationMailbox": target, "query": query}
        try:
            self._api.call("move", **given)
        except CommandFailed as error:
            if error.exit_code != NOTHING_FOUND:
                raise
            self._api.call("mailboxCreate", MAILBOX_EXISTS, user=user, mailbox=[target])
            self._api.call("move", NOTHING_FOUND, **given)

    def _expunge(self, user: str, mailbox: str, uids: Sequence[int]) -> None:
        place = self._in(user, mailbox)
        if place and uids:
            query = [*place, "uid", uid_set(uids)]
            self._api.call("expunge", NOTHING_FOUND, user=user, query=query)

    def _place(self, search: MessageSearch) -> list[str]:
        folder = store.kept(search.folder) if search.removed else search.folder
        return self._in(search.user, folder)

    def _in(self, user: str, mailbox: str) -> list[str]:
        """The part of a query that means exactly this folder; empty if it is not there.

        A program may name a folder `a*`, which as a query would mean `ab` as well. Such a
        folder is narrowed down by its id.
        """
        if not _WILDCARDS & set(mailbox):
            return ["mailbox", mailbox]
        prefix = store.REMOVED_PREFIX if mailbox.startswith(store.REMOVED_PREFIX) else ""
        found = self._api.call(
            "mailboxStatus", user=user, field=["guid"], mailboxMask=[f"{prefix}*"]
        )
        guids = [row["guid"] for row in found if row["mailbox"] == mailbox]
        # The id alone would not reach into a hidden namespace.
        return ["mailbox", mailbox, "mailbox-guid", guids[0]] if guids else []

    def ping(self) -> None:
        """The cheapest question that needs an answer."""
        self._api.call("who", NOTHING_FOUND, mask=["nobody"])

    def services(self) -> list[Service]:
        """Every service that is configured; a process without a free place is busy."""
        found = self._api.call("serviceStatus")
        return sorted(map(asking.service, found), key=lambda each: each.name)

    def reload(self) -> None:
        """Reload; needed after a migration on SQLite and after PostgreSQL was away."""
        self._api.call("reload")


def from_settings() -> DoveadmEngine:
    """The Dovecot that the settings name."""
    return DoveadmEngine(
        doveadm=(settings.DOVEADM_HOST, settings.DOVEADM_PORT),
        api_key=settings.DOVEADM_API_KEY,
        lmtp=(settings.LMTP_HOST, settings.LMTP_PORT),
    )


def _readable(answer: bytes | str) -> str:
    return answer.decode("utf-8", "replace") if isinstance(answer, bytes) else answer
