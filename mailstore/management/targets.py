"""What commands about retention and holds are pointed at, from the command line to a row."""

from __future__ import annotations

from argparse import ArgumentTypeError, _MutuallyExclusiveGroup
from datetime import UTC, datetime
from typing import Any, TypeVar

from django.core.management.base import CommandError, CommandParser

from accounts.models import Organisation, User
from mailstore.models import Domain, Mailbox

Row = TypeVar("Row")

_PEOPLE = ("organisation__parent", "domain")


def add_scope(parser: CommandParser) -> _MutuallyExclusiveGroup:
    """`--mailbox`, `--domain` or `--organisation`, exactly one of them; returns their group."""
    scope = parser.add_mutually_exclusive_group(required=True)
    scope.add_argument("--mailbox", metavar="ADDRESS")
    scope.add_argument("--domain", metavar="NAME")
    scope.add_argument("--organisation", metavar="NAME", help="its name, as it is written")
    return scope


def scope_of(options: dict[str, Any]) -> Organisation | Domain | Mailbox:
    """The one row that the options name."""
    if options["mailbox"]:
        return mailbox_of(options["mailbox"])
    if options["domain"]:
        domains = Domain.objects.select_related("organisation__parent")
        found = domains.filter(name=options["domain"].lower()).first()
        return _found(found, f"There is no domain {options['domain']}.")
    organisations = Organisation.objects.select_related("parent")
    named = list(organisations.filter(name=options["organisation"])[:2])
    if len(named) > 1:
        message = f"Several organisations are named {options['organisation']}."
        raise CommandError(message)
    none = f"There is no organisation {options['organisation']}."
    return _found(named[0] if named else None, none)


def mailbox_of(address: str) -> Mailbox:
    """The standing mailbox of an address."""
    standing = Mailbox.objects.standing().select_related(*_PEOPLE)
    found = standing.filter(address=address.strip().lower()).first()
    return _found(found, f"There is no mailbox {address}.")


def user_of(email: str) -> User:
    """The member of staff who is said to act."""
    found = User.objects.filter(email=email.strip().lower(), is_staff=True, is_active=True).first()
    return _found(found, f"There is no member of staff {email}.")


def moment(text: str) -> datetime:
    """A moment in UTC, as `2026-11-22 14:00`."""
    try:
        return datetime.fromisoformat(text).replace(tzinfo=UTC)
    except ValueError as error:
        message = f"{text!r} is not a moment such as '2026-11-22 14:00' (UTC)."
        raise ArgumentTypeError(message) from error


def _found(row: Row | None, message: str) -> Row:
    if row is None:
        raise CommandError(message)
    return row
