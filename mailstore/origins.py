"""Who removed a message: told from what the log says and what the purges wrote down."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from mailstore import sign_ins
from mailstore.engine import RemovedMessage, folder_names, uids_of
from mailstore.models import Mailbox, PurgeBatch, PurgeRun, Removal

# Dovecot writes whole seconds, and a worker notes a batch after the removal.
_SAME_MOMENT = timedelta(seconds=30)


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Who removed a message: the rules, or a mail program, of which the log told more or less."""

    by_rules: bool = False
    protocol: str = ""
    # Empty for the mailbox password.
    device: str = ""
    address: str = ""

    @property
    def text(self) -> str:
        """The same in words."""
        if self.by_rules:
            return "by the retention rules"
        if not self.protocol:
            return "by a mail program"
        device = self.device or "the mailbox password"
        return f"by a mail program ({self.protocol.upper()}, {device}, {self.address})"


def of(mailbox: Mailbox, page: Sequence[RemovedMessage]) -> Callable[[RemovedMessage], Origin]:
    """Says how these messages went, from what the log told and what the purges wrote down."""
    removals = _removals(mailbox, page)
    devices = sign_ins.labels_of(mailbox)
    purged = _purged(mailbox, page)

    def origin_of(message: RemovedMessage) -> Origin:
        removal = removals.get((folder_names.shown(message.folder), message.uid))
        if removal is not None:
            return Origin(
                protocol=removal.service,
                device=devices.get(removal.device, ""),
                address=removal.address,
            )
        moments = purged.get(message.folder, [])
        is_purged = any(abs(moment - message.removed_at) <= _SAME_MOMENT for moment in moments)
        return Origin(by_rules=is_purged)

    return origin_of


def _removals(mailbox: Mailbox, page: Sequence[RemovedMessage]) -> dict[tuple[str, int], Removal]:
    """What the log told of each message of the page."""
    if not page:
        return {}
    wanted = {(folder_names.shown(message.folder), message.uid) for message in page}
    moments = [message.removed_at for message in page]
    near = Removal.objects.filter(
        mailbox=mailbox,
        folder__in={folder for folder, _uid in wanted},
        ended_at__gte=min(moments) - _SAME_MOMENT,
        began_at__lte=max(moments) + _SAME_MOMENT,
    )
    return {
        (removal.folder, uid): removal
        for removal in near
        for uid in uids_of(removal.uids)
        if (removal.folder, uid) in wanted
    }


def _purged(mailbox: Mailbox, page: Sequence[RemovedMessage]) -> dict[str, list[datetime]]:
    """When purges removed something from the folders of the page, about when it went."""
    if not page:
        return {}
    moments = [message.removed_at for message in page]
    batches = PurgeBatch.objects.filter(
        run__mailbox=mailbox,
        run__kind=PurgeRun.Kind.RETENTION,
        folder__in={message.folder for message in page},
        done_at__range=(min(moments) - _SAME_MOMENT, max(moments) + _SAME_MOMENT),
    )
    done: dict[str, list[datetime]] = {}
    for folder, done_at in batches.values_list("folder", "done_at"):
        if done_at is not None:
            done.setdefault(folder, []).append(done_at)
    return done
