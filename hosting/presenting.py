"""Mailboxes in a person's words: what the pages show, made from rows once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.db.models import Max, QuerySet, Value
from django.urls import reverse
from django.utils.translation import gettext as _

from accounts.compiled import CompiledQuery
from accounts.models import Event, Switches
from hosting import history
from mailstore import quotas, standing
from mailstore.engine import FolderUsage
from mailstore.models import AppPassword, LastLogin, Mailbox, Usage
from mailstore.models.mailboxes import SPECIAL_FOLDERS

# Dovecot's name for the sign-in by mailbox password, which belongs to no device.
NO_DEVICE = "-"
PROTOCOL_NAMES = {"pop3": "POP", "imap": "IMAP"}


@dataclass(frozen=True, kw_only=True)
class Space:
    """Use against the limit."""

    used_bytes: int
    messages: int
    quota_bytes: int
    # Mail was put off for lack of space, with some bytes left or none.
    is_full: bool

    @property
    def percent(self) -> int:
        """Whole percents, never 100 before the last byte is used."""
        return self.used_bytes * 100 // self.quota_bytes

    @property
    def percent_text(self) -> str:
        """The percents in words, which do not call a little nothing."""
        if self.used_bytes and not self.percent:
            return _("under 1 %")
        return f"{self.percent} %"

    @property
    def used_text(self) -> str:
        """Use in words."""
        return quotas.byte_text(self.used_bytes)

    @property
    def quota_text(self) -> str:
        """The limit in words."""
        return quotas.byte_text(self.quota_bytes)

    @property
    def level(self) -> str:
        """How urgent it is: `fine`, `near` or `full`."""
        if self.is_full:
            return "full"
        reached = quotas.level(used_bytes=self.used_bytes, quota_bytes=self.quota_bytes)
        return {0: "fine", 100: "full"}.get(reached, "near")


def spaces(mailboxes: Iterable[Mailbox]) -> dict[str, Space]:
    """The live use of each mailbox by address, in one query."""
    by_address = {mailbox.address: mailbox for mailbox in mailboxes}
    used = Usage.objects.filter(username__in=by_address).values_list(
        "username", "bytes", "messages"
    )
    return _spaces(by_address.values(), {name: (size, count) for name, size, count in used})


def _spaces(mailboxes: Iterable[Mailbox], used: Mapping[str, tuple[int, int]]) -> dict[str, Space]:
    """The same from what was read: bytes and messages by address."""
    return {
        mailbox.address: Space(
            used_bytes=used.get(mailbox.address, (0, 0))[0],
            messages=used.get(mailbox.address, (0, 0))[1],
            quota_bytes=mailbox.quota_bytes,
            is_full=mailbox.full_since is not None,
        )
        for mailbox in mailboxes
    }


def rows(mailboxes: list[Mailbox]) -> list[dict[str, object]]:
    """Mailboxes as lines of a list."""
    used, seen = _reported([mailbox.address for mailbox in mailboxes])
    spaces = _spaces(mailboxes, used)
    # Looked up once, since there are fifty rows.
    of, percent_used = _("%(used)s of %(quota)s"), _("%(percent)s percent used")
    return [
        {
            "address": mailbox.address,
            "protocol": mailbox.protocol,
            "protocol_text": mailbox.protocol.upper(),
            **_state(mailbox),
            "label": mailbox.label,
            "space_text": of % {"used": space.used_text, "quota": space.quota_text},
            "percent_label": percent_used % {"percent": space.percent},
            "bar": min(space.percent, 100),
            "level": space.level,
            **_seen(seen.get(mailbox.address)),
            "url": reverse("mailboxes:detail", args=[mailbox.uuid]),
        }
        for mailbox in mailboxes
        for space in (spaces[mailbox.address],)
    ]


def _seen(at: datetime | None) -> dict[str, object]:
    if at is None:
        return {"seen_at": None}
    return {
        "seen_at": at,
        "seen_iso": at.isoformat(),
        "seen_text": f"{at:%Y-%m-%d %H:%M:%S} UTC",
    }


def _reported(
    addresses: list[str],
) -> tuple[dict[str, tuple[int, int]], dict[str, datetime]]:
    """What Dovecot has reported: bytes and messages, and the last sign-in, in one statement."""
    used: dict[str, tuple[int, int]] = {}
    seen: dict[str, datetime] = {}
    for kind, address, figure, messages in _REPORTS.rows(names=addresses):
        if kind == "use":
            used[address] = (figure, messages)
        else:
            seen[address] = datetime.fromtimestamp(figure, tz=UTC)
    return used, seen


def _reports(names: Any) -> QuerySet[Any, Any]:
    use = (
        Usage.objects.filter(username__among=names)
        .annotate(kind=Value("use"))
        .values_list("kind", "username", "bytes", "messages")
    )
    sign_ins = (
        LastLogin.objects.filter(username__among=names)
        .order_by()
        .values("username")
        .annotate(last=Max("last_login"), nothing=Value(0), kind=Value("seen"))
        .values_list("kind", "username", "last", "nothing")
    )
    return use.union(sign_ins, all=True)


_REPORTS = CompiledQuery(_reports)


def _state(mailbox: Mailbox) -> dict[str, str]:
    """What matters most about a mailbox, in one word."""
    if mailbox.frozen_at is not None:
        return {"state": "locked", "state_text": _("Locked")}
    if mailbox.state == Mailbox.State.ACTIVE and mailbox.full_since is not None:
        return {"state": "full", "state_text": _("Full")}
    if mailbox.state == Mailbox.State.ACTIVE and (stopped := _stopped_text(mailbox)):
        return {"state": "suspended", "state_text": stopped}
    return {"state": mailbox.state, "state_text": mailbox.get_state_display()}


def _stopped_text(mailbox: Mailbox) -> str:
    switches = standing.reach(mailbox)
    if switches["sign_in"] == Switches.SignIn.SHUT:
        return _("Stopped")
    if switches["receiving"] != Switches.Receiving.OPEN:
        return _("New mail waits")
    return _("Read only") if switches["sign_in"] != Switches.SignIn.OPEN else ""


def stopped_lines(mailbox: Mailbox) -> list[str]:
    """What its organisation, or the reseller above, may not do with it now, in words."""
    switches = standing.reach(mailbox)
    found = (
        Switches.SignIn(switches["sign_in"]),
        Switches.Receiving(switches["receiving"]),
        Switches.Sending(switches["sending"]),
    )
    return [str(way.label) for way in found if way != "open"]


def folders(found: Iterable[FolderUsage]) -> list[dict[str, object]]:
    """Folders as lines of a list: the inbox, those every program knows, the person's own."""
    known = ("INBOX", *SPECIAL_FOLDERS)

    def place(folder: FolderUsage) -> tuple[int, str]:
        name = folder.folder
        return (known.index(name) if name in known else len(known), name.casefold())

    return [
        {
            "folder": _("Inbox") if folder.folder == "INBOX" else folder.folder,
            "messages": folder.messages,
            "unseen": folder.unseen,
            "bytes_text": quotas.byte_text(folder.bytes),
        }
        for folder in sorted(found, key=place)
    ]


@dataclass(frozen=True, kw_only=True)
class SignIn:
    """The last sign-in by one protocol, device and address."""

    protocol: str
    device_id: str
    device: str
    address: str
    at: datetime


def sign_ins(mailbox: Mailbox, passwords: Iterable[AppPassword]) -> list[SignIn]:
    """The last sign-ins, newest first, with the devices' names."""
    labels = {password.uuid.hex: password.label for password in passwords}
    labels[NO_DEVICE] = _("Mailbox password")
    logins = LastLogin.objects.filter(username=mailbox.address).order_by("-last_login", "pk")
    return [
        SignIn(
            protocol=PROTOCOL_NAMES.get(login.proto, login.proto),
            device_id=login.device,
            device=labels.get(login.device, _("An app password that is gone")),
            address=login.address,
            at=datetime.fromtimestamp(login.last_login, tz=UTC),
        )
        for login in logins[:50]
    ]


def last_sign_in(mailbox: Mailbox) -> SignIn | None:
    """The newest sign-in by any device, or None if there was none yet."""
    return next(iter(sign_ins(mailbox, mailbox.app_passwords.all())), None)


def last_by_protocol(logins: list[SignIn]) -> list[SignIn]:
    """The newest sign-in of each protocol."""
    newest: dict[str, SignIn] = {}
    for login in logins:
        newest.setdefault(login.protocol, login)
    return list(newest.values())


def password_rows(
    mailbox: Mailbox, passwords: list[AppPassword], logins: list[SignIn]
) -> list[dict[str, object]]:
    """App passwords as lines of a list, with when and from where each was used last."""
    last: dict[str, SignIn] = {}
    for login in logins:
        last.setdefault(login.device_id, login)
    return [
        {
            "label": password.label,
            "protocols_text": _protocols(password),
            "networks": password.networks,
            "change_url": reverse(
                "mailboxes:change_app_password",
                args=[mailbox.uuid, password.uuid],
            ),
            "created_at": password.created_at,
            "is_revoked": password.revoked_at is not None,
            "revoked_at": password.revoked_at,
            "last_used": last.get(password.uuid.hex),
            "revoke_url": reverse(
                "mailboxes:revoke_app_password",
                args=[mailbox.uuid, password.uuid],
            ),
        }
        for password in passwords
    ]


def _protocols(password: AppPassword) -> str:
    names = [("POP", password.allows_pop), ("IMAP", password.allows_imap)]
    return ", ".join(name for name, allowed in names if allowed)


def happenings(mailbox: Mailbox, *, house_name: str) -> list[history.Happening]:
    """The last facts about a mailbox, its devices and its mail, newest first.

    What nobody did, the house did, by whatever name the reader knows it.
    """
    told = Event.objects.about(str(mailbox.uuid)).order_by("-at", "-seq")[:15]
    return [history.told(event, house_name=house_name) for event in told]
