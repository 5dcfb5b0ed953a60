"""The one grammar of mail addresses; page, admin, CSV import and commands all use it.

A local part becomes a login name and travels through SQL, logs and mail headers, so it is
far narrower than RFC 5322 allows: ASCII letters, digits, dot, hyphen and underscore. Non-ASCII
twins (`K` U+212A lower-cases to `k`) are refused before anything is lower-cased.
"""

from __future__ import annotations

import re

import idna
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

LOCAL_PART_OCTETS = 64
# RFC 5321 section 4.5.3.1.3: a path is at most 256 octets, two of which are < and >.
ADDRESS_OCTETS = 254

# RFC 2606 and RFC 6761 set these aside; nobody can own them, and they stand in no DNS.
_FOR_TESTS = ("test", "localhost")

_LOCAL_PART = re.compile(r"[a-z0-9_](?:[a-z0-9._-]*[a-z0-9_-])?\Z")
_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\Z")

# RFC 2142 names, and names that strangers take for the house itself: whoever holds one of
# them can obtain certificates or speak for the domain.
RESERVED = frozenset(
    {
        "abuse",
        "admin",
        "administrator",
        "hostmaster",
        "mailer-daemon",
        "noc",
        "postmaster",
        "root",
        "security",
        "ssladmin",
        "sysadmin",
        "webmaster",
    },
)


class InvalidAddress(ValidationError):
    """What was typed cannot be an address here; the message says why."""


def local_part(text: str) -> str:
    """The canonical local part, or `InvalidAddress`."""
    if not text:
        raise InvalidAddress(_("Write the part before the @."), code="empty")
    if not text.isascii():
        raise InvalidAddress(
            _("Only letters a to z, digits, dot, hyphen and underscore can be used before the @."),
            code="not_ascii",
        )
    if len(text) > LOCAL_PART_OCTETS:
        raise InvalidAddress(
            _("The part before the @ can have at most 64 characters."),
            code="too_long",
        )
    canonical = text.lower()
    if canonical.startswith(".") or canonical.endswith(".") or ".." in canonical:
        raise InvalidAddress(
            _("A dot can stand between other characters only, and not twice in a row."),
            code="dots",
        )
    if not _LOCAL_PART.match(canonical):
        raise InvalidAddress(
            _(
                "Only letters a to z, digits, dot, hyphen and underscore can be used before "
                "the @, and it begins with a letter, a digit or an underscore.",
            ),
            code="characters",
        )
    return canonical


def domain(text: str) -> str:
    """The canonical domain in ASCII (IDNA 2008 A-labels), or `InvalidAddress`."""
    if not text:
        raise InvalidAddress(_("Write a domain, for example example.com."), code="empty")
    ascii_name = text.lower() if text.isascii() else _encoded(text)
    labels = ascii_name.split(".")
    if len(ascii_name) > ADDRESS_OCTETS - 2 or not all(_LABEL.match(label) for label in labels):
        raise InvalidAddress(
            _("This is not a domain. Write it like example.com."),
            code="not_a_domain",
        )
    if len(labels) == 1 and ascii_name != "localhost":
        raise InvalidAddress(_("A domain has a dot, like example.com."), code="no_dot")
    if labels[-1].isdigit():
        raise InvalidAddress(_("Write a domain, not an IP address."), code="ip_address")
    _check_encoded_labels(labels)
    return ascii_name


def _encoded(text: str) -> str:
    try:
        return idna.encode(text, strict=True, std3_rules=True).decode("ascii")
    except (idna.IDNAError, UnicodeError) as error:
        raise InvalidAddress(
            _(
                "This domain has characters that domains cannot have. Write it in lower case, "
                "as its registry shows it.",
            ),
            code="not_idna",
        ) from error


def _check_encoded_labels(labels: list[str]) -> None:
    for label in labels:
        if label.startswith("xn--") or label[2:4] == "--":
            try:
                if idna.alabel(idna.ulabel(label)).decode("ascii") == label:
                    continue
            except (idna.IDNAError, UnicodeError):
                pass
            raise InvalidAddress(
                _("A part of this domain is not a valid international name."),
                code="not_idna",
            )


def is_for_tests(host: str) -> bool:
    """Whether a canonical domain or host name can be nobody's."""
    return host.rpartition(".")[2] in _FOR_TESTS


def split(text: str) -> tuple[str, str]:
    """The canonical local part and domain of an address, or `InvalidAddress`."""
    name, at, host = text.rpartition("@")
    if not at:
        raise InvalidAddress(_("An address has an @, like name@example.com."), code="no_at")
    canonical = (local_part(name), domain(host))
    check_length(*canonical)
    return canonical


def check_length(name: str, host: str) -> None:
    """Refuse an address that SMTP could not carry although both its parts are fine."""
    if len(name) + 1 + len(host) > ADDRESS_OCTETS:
        raise InvalidAddress(_("The whole address is too long."), code="too_long")


def is_reserved(name: str) -> bool:
    """Whether only staff may give out this canonical local part."""
    return name in RESERVED


def shown(host: str) -> str:
    """A canonical domain as a person reads it (`xn--…` decoded)."""
    try:
        return idna.decode(host)
    except (idna.IDNAError, UnicodeError):
        return host
