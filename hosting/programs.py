"""How to set up each mail program, in steps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import segno
from django.conf import settings
from django.utils.translation import gettext as _

from mailstore.models import Mailbox

# A short name, the program's own, and its steps.
Recipe = tuple[str, str, list[str]]


@dataclass(frozen=True, kw_only=True)
class ServerAddress:
    """One line of the settings a mail program asks for."""

    name: str
    host: str
    port: int
    security: str
    username: str


@dataclass(frozen=True, kw_only=True)
class Program:
    """A mail program and what to press in it."""

    slug: str
    name: str
    steps: tuple[str, ...]


def server_addresses(mailbox: Mailbox) -> list[ServerAddress]:
    """Where the mailbox's protocol is served; TLS from the first byte comes first."""
    ports = (
        ((settings.IMAPS_PORT, "SSL/TLS"), (settings.IMAP_PORT, "STARTTLS"))
        if mailbox.is_imap
        else ((settings.POP3S_PORT, "SSL/TLS"), (settings.POP3_PORT, "STARTTLS"))
    )
    name = "IMAP" if mailbox.is_imap else "POP"
    return [
        ServerAddress(
            name=name,
            host=settings.MAIL_HOST,
            port=port,
            security=security,
            username=mailbox.address,
        )
        for port, security in ports
    ]


def qr_data_uri(mailbox: Mailbox, *, secret: str | None) -> str:
    """The settings as a QR code for an `img`: plain text, because no standard exists.

    Every phone shows the text of a code it scans, from which each line can be copied.
    """
    first = server_addresses(mailbox)[0]
    lines = [
        f"{first.name}: {first.host}:{first.port} {first.security}",
        f"{_('User name')}: {first.username}",
    ]
    if secret:
        lines.append(f"{_('Password')}: {secret}")
    return str(segno.make("\n".join(lines), micro=False).svg_data_uri(scale=4, border=2))


def programs(mailbox: Mailbox) -> list[Program]:
    """The mail programs that most people use, with steps for this mailbox."""
    first = server_addresses(mailbox)[0]
    words: Mapping[str, str] = {
        "address": mailbox.address,
        "protocol": first.name,
        "host": first.host,
        "port": str(first.port),
        "security": first.security,
        "keep": _keeping(mailbox),
    }
    return [
        Program(slug=slug, name=name, steps=tuple(step.format_map(words) for step in steps))
        for slug, name, steps in _recipes()
    ]


def _keeping(mailbox: Mailbox) -> str:
    if mailbox.is_imap:
        return _("Nothing more to choose: every device shows the same.")
    return _(
        "Choose whether the program leaves a copy on the server. Without one, this computer "
        "holds the only copy.",
    )


def copy_settings() -> list[Program]:
    """Where each program is told to leave no copies on the server, for POP."""
    return [
        Program(slug=slug, name=name, steps=(step,))
        for slug, name, step in (
            (
                "thunderbird",
                "Thunderbird",
                _(
                    "Account Settings, Server Settings: untick “Leave messages on server”, or "
                    "tick “For at most” and choose the days."
                ),
            ),
            (
                "outlook",
                "Outlook",
                _(
                    "File, Account Settings, Change, More Settings, Advanced: untick “Leave a copy "
                    "of messages on the server”, or choose the days below it."
                ),
            ),
            (
                "apple-mail",
                "Apple Mail",
                _(
                    "Settings, Accounts, Account Information: tick “Remove copy from server after "
                    "retrieving a message”, and choose when."
                ),
            ),
            (
                "other",
                _("Another program"),
                _(
                    "Look in the account's settings for “leave on server” or “delete from server”. "
                    "Some phones have no such choice; then let the rule above do it."
                ),
            ),
        )
    ]


def _recipes() -> list[Recipe]:
    password_step = _("As password, paste the app password. Never the one for this panel.")
    return [*_for_computers(password_step), *_for_phones_and_others(password_step)]


def _for_computers(password_step: str) -> list[Recipe]:
    return [
        (
            "thunderbird",
            "Thunderbird",
            [
                _("Open the menu, then New Account, then Email."),
                _("Enter your name and {address}, then choose manual configuration."),
                _(
                    "Incoming server: {protocol}, host {host}, port {port}, {security}, "
                    "normal password, user name {address}."
                ),
                password_step,
                "{keep}",
            ],
        ),
        (
            "outlook",
            "Outlook",
            [
                _("Open File, then Add Account."),
                _("Enter {address}, open Advanced options and tick manual set-up."),
                _("Choose {protocol}: server {host}, port {port}, encryption {security}."),
                password_step,
                "{keep}",
            ],
        ),
        (
            "apple-mail",
            "Apple Mail",
            [
                _("Open Mail, then Add Account, then Other Mail Account."),
                _("Enter your name and {address}, and let the automatic attempt fail."),
                _("Account type {protocol}, incoming server {host}, user name {address}."),
                _("In the server settings set port {port} and use TLS."),
                password_step,
                "{keep}",
            ],
        ),
    ]


def _for_phones_and_others(password_step: str) -> list[Recipe]:
    return [
        (
            "ios",
            "iPhone and iPad",
            [
                _("Open Settings, Apps, Mail, Mail Accounts, Add Account, Other."),
                _("Enter your name and {address}, then choose {protocol}."),
                _("Incoming server: host {host}, user name {address}."),
                password_step,
                _("Under Advanced, use SSL and port {port}."),
                "{keep}",
            ],
        ),
        (
            "android",
            "Android",
            [
                _("In your mail app, add an account and choose manual set-up."),
                _("Enter {address} and choose {protocol}."),
                _("Server {host}, port {port}, security {security}, user name {address}."),
                password_step,
                "{keep}",
            ],
        ),
        (
            "other",
            _("Another program"),
            [
                _("Add an account by hand and choose {protocol}."),
                _("Server {host}, port {port}, {security}, user name {address}."),
                password_step,
                "{keep}",
            ],
        ),
    ]
