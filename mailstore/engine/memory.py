"""An in-memory twin of the mail server: the same behaviour, for tests without a network."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

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
    UnknownMailbox,
)
from mailstore.engine.memory_folders import Account, Folder, whole_seconds

_SET_ASIDE = "$ReadBefore"


class MemoryEngine:
    """A mail server in a dictionary. `is_down` makes every call fail as a dead one would.

    `on_change` is called with the name of each call that changes mail, before it does and
    after it did: a test can die there, or have something else happen in between.
    """

    def __init__(self) -> None:
        self.accounts: dict[str, Account] = {}
        self.is_down = False
        self.on_change: Callable[[str], None] = lambda _moment: None

    def know(self, user: str, *, quota_bytes: int = 10**9) -> Account:
        """Tell the twin of a mailbox, as the views tell Dovecot."""
        return self.accounts.setdefault(user, Account(quota_bytes=quota_bytes))

    def create_mailbox(self, *, user: str, folders: Sequence[str]) -> None:
        """Make the folders that are missing."""
        account = self._account(user)
        for folder in folders:
            account.folders.setdefault(folder, Folder())

    def folder_usage(self, *, user: str) -> list[FolderUsage]:
        """Every folder with what is in it."""
        return [
            FolderUsage(
                folder=name,
                messages=len(folder.kept),
                bytes=folder.size,
                unseen=sum("\\Seen" not in message.flags for message in folder.kept),
            )
            for name, folder in self._account(user).folders.items()
        ]

    def sizes(self, *, users: Sequence[str]) -> dict[str, Size]:
        """The sizes of those that are known."""
        self._reach()
        return {
            user: Size(bytes=account.used_bytes, messages=account.messages)
            for user in users
            if (account := self.accounts.get(user))
        }

    def folder_states(self, *, user: str, removed: bool = False) -> list[FolderState]:
        """Folders with the arrival of their oldest message."""
        return [
            FolderState(
                folder=name,
                uidvalidity=folder.uidvalidity,
                messages=len(folder.kept),
                bytes=folder.size,
                first_saved_at=min((m.saved_at for m in folder.kept), default=None),
            )
            for name, folder in self._folders(user, removed=removed).items()
        ]

    def folder_states_each(
        self, *, users: Sequence[str], removed: bool = False
    ) -> dict[str, list[FolderState]]:
        """The folders of those that are known."""
        self._reach()
        known = [user for user in users if user in self.accounts]
        return {user: self.folder_states(user=user, removed=removed) for user in known}

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
        """Messages of one folder that fit."""
        kept = self._folders(user, removed=removed).get(folder, Folder()).kept
        return [
            StoredMessage(
                uid=message.uid,
                guid=message.guid,
                bytes=len(message.raw),
                message_id=str(message.headers["Message-ID"] or ""),
                saved_at=message.saved_at,
            )
            for message in kept
            if (uids is None or message.uid in uids)
            and (saved_before is None or message.saved_at < saved_before)
            and (not retrieved or "\\Seen" in message.flags)
            and not (untouched and message.flags & {"\\Seen", BEGUN})
        ]

    def messages_each(
        self, *, searches: Sequence[MessageSearch]
    ) -> list[list[StoredMessage] | None]:
        """The same for mailboxes that are known."""
        self._reach()
        return [
            self.messages(**vars(search)) if search.user in self.accounts else None
            for search in searches
        ]

    def removed_mail(
        self, *, user: str, search: RemovedSearch = EVERYTHING, headers: bool = True
    ) -> list[RemovedMessage]:
        """What was removed and fits the search."""
        found = [
            RemovedMessage(
                folder=name,
                uid=message.uid,
                guid=message.guid,
                bytes=len(message.raw),
                removed_at=message.saved_at,
                sender=str(message.headers["From"] or "") if headers else "",
                subject=str(message.headers["Subject"] or "") if headers else "",
            )
            for name, folder in self._folders(user, removed=True).items()
            for message in folder.kept
        ]
        return [message for message in found if _fits(message, search)]

    def removed_index(self, *, user: str, search: RemovedSearch = EVERYTHING) -> list[RemovedEntry]:
        """The same without what is written in the messages."""
        return [
            RemovedEntry(folder=one.folder, uid=one.uid, removed_at=one.removed_at)
            for one in self.removed_mail(user=user, search=search)
        ]

    def removed_chosen(
        self, *, user: str, chosen: Mapping[str, Collection[int]]
    ) -> list[RemovedMessage]:
        """Those of the store that were chosen."""
        found = self.removed_mail(user=user)
        return [one for one in found if one.uid in chosen.get(one.folder, ())]

    def present(
        self, *, user: str, folder: str, uids: Sequence[int], removed: bool = False
    ) -> Present:
        """Look for these uids."""
        found = self._folders(user, removed=removed).get(folder)
        if found is None:
            return Present(uidvalidity=0, guids={})
        guids = {message.uid: message.guid for message in found.kept if message.uid in set(uids)}
        return Present(uidvalidity=found.uidvalidity, guids=guids)

    def arrived(self, *, user: str, since: datetime) -> set[str]:
        """Those of every folder."""
        folders = self._folders(user, removed=False).values()
        return {m.guid for folder in folders for m in folder.kept if m.saved_at >= since}

    def remove(self, *, user: str, folder: str, uids: Sequence[int]) -> None:
        """Move into the store, unless the same message lies there already."""
        self.on_change("before remove")
        account = self._account(user)
        store = account.store.setdefault(folder, Folder())
        known = {message.guid for message in store.kept}
        for message in account.folders.get(folder, Folder()).drop(uids):
            if message.guid not in known:
                store.take(message, at=whole_seconds())
        self.on_change("after remove")

    def remove_for_good(self, *, user: str, folder: str, uids: Sequence[int]) -> None:
        """Forget messages of the store."""
        self.on_change("before remove_for_good")
        self._account(user).store.get(folder, Folder()).drop(uids)
        self.on_change("after remove_for_good")

    def restore(
        self, *, user: str, folder: str, uids: Sequence[int], as_unfetched: bool = False
    ) -> None:
        """Move out of the store."""
        self.on_change("before restore")
        account = self._account(user)
        target = account.folders.setdefault(folder, Folder())
        lost = frozenset({"\\Seen", BEGUN} if as_unfetched else ())
        for message in account.store.get(folder, Folder()).drop(uids):
            target.take(replace(message, flags=message.flags - lost), at=whole_seconds())
        self.on_change("after restore")

    def copy_flags(self, *, user: str, folder: str, twins: Mapping[int, int]) -> None:
        """Flags are part of what is moved, so twins differ only if a test made them."""
        account = self._account(user)
        stored = {message.uid: message.flags for message in account.store[folder].kept}
        flags = {uid: stored[removed] for removed, uid in twins.items()}
        visible = account.folders[folder]
        visible.kept = [
            replace(message, flags=message.flags | flags.get(message.uid, frozenset()))
            for message in visible.kept
        ]

    def set_reads_aside(self, *, user: str, uids: Sequence[int], as_begun: bool = False) -> None:
        """Change the flags of messages that are there."""
        self.on_change("before set_reads_aside")
        mark = BEGUN if as_begun else _SET_ASIDE
        self._reflag(user, wanted=set(uids), add=mark, drop="\\Seen")
        self.on_change("after set_reads_aside")

    def bring_reads_back(self, *, user: str) -> None:
        """Change the flags of messages that were set aside."""
        kept = self._account(user).folders["INBOX"].kept
        aside = {message.uid for message in kept if _SET_ASIDE in message.flags}
        self._reflag(user, wanted=aside, add="\\Seen", drop=_SET_ASIDE)

    def gather(self, *, user: str, folder: str, uids: Sequence[int]) -> None:
        """Move into the inbox."""
        self.on_change("before gather")
        folders = self._account(user).folders
        for message in folders.get(folder, Folder()).drop(uids):
            folders["INBOX"].take(message, at=whole_seconds())
        self.on_change("after gather")

    def _reflag(self, user: str, *, wanted: set[int], add: str, drop: str) -> None:
        inbox = self._account(user).folders["INBOX"]
        inbox.kept = [
            replace(message, flags=message.flags - {drop} | {add})
            if message.uid in wanted
            else message
            for message in inbox.kept
        ]

    def recalculate_usage(self, *, user: str) -> None:
        """Use is always counted anew here."""
        self._account(user)

    def end_sessions(self, *, user: str) -> int:
        """End the sessions that a test opened; like Dovecot, unknown names have none."""
        self._reach()
        account = self.accounts.get(user)
        if account is None:
            return 0
        ended, account.sessions = account.sessions, 0
        return ended

    def deliver(self, *, recipient: str, message: bytes, sender: str) -> None:
        """Take a message in, unless it does not fit; who sent it makes no difference."""
        del sender
        self._reach()
        account = self.accounts.get(recipient)
        if account is None:
            raise DeliveryRefused(code=550, text=f"5.1.1 <{recipient}> User doesn't exist")
        if account.used_bytes + len(message) > account.quota_bytes:
            code, text = (452, "4.2.2") if account.defers_when_full else (552, "5.2.2")
            raise DeliveryRefused(code=code, text=f"{text} <{recipient}> Mailbox is full.")
        account.folders["INBOX"].append(message)

    def store(self, *, user: str, folder: str, message: bytes) -> None:
        """Put a message in whatever the limit."""
        self._account(user).folders[folder].append(message)

    def erase(self, *, user: str) -> None:
        """Forget everything of the mailbox."""
        self._reach()
        self.accounts.pop(user, None)

    def ping(self) -> None:
        """Answer unless down."""
        self._reach()

    def services(self) -> list[Service]:
        """One process for each session, all of them of IMAP."""
        self._reach()
        count = sum(account.sessions for account in self.accounts.values())
        return [Service(name="imap", processes=count, busy=count, most_processes=1024)]

    def reload(self) -> None:
        """There is nothing to load anew."""
        self._reach()

    def _folders(self, user: str, *, removed: bool) -> dict[str, Folder]:
        account = self._account(user)
        return account.store if removed else account.folders

    def _account(self, user: str) -> Account:
        self._reach()
        try:
            return self.accounts[user]
        except KeyError:
            raise UnknownMailbox(user) from None

    def _reach(self) -> None:
        if self.is_down:
            message = "The mail server cannot be reached."
            raise EngineUnavailable(message)


def _fits(message: RemovedMessage, search: RemovedSearch) -> bool:
    return (
        (not search.folder or message.folder == search.folder)
        and search.sender.lower() in message.sender.lower()
        and search.subject.lower() in message.subject.lower()
        and (search.since is None or message.removed_at >= search.since)
        and (search.until is None or message.removed_at < search.until)
    )
