"""Make somebody staff, or give a member of staff another role."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from accounts import inviting, membership, people
from accounts.access import OPERATOR, STAFF_ROLES, system
from accounts.models import Organisation, User
from hosting.management.commands.create_provider import asked_password


class Command(BaseCommand):
    """Asks for a password where there is no such person yet, as `create_provider` does."""

    help = "Make somebody staff of the provider in a role, or change the role."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("email", help="the e-mail address to sign in with")
        parser.add_argument("--role", choices=STAFF_ROLES, default=OPERATOR)
        parser.add_argument("--dry-run", action="store_true", help="say what would be done")

    def handle(self, *, email: str, role: str, dry_run: bool, **options: Any) -> None:
        provider = Organisation.objects.filter(kind=Organisation.Kind.PROVIDER).first()
        if provider is None:
            message = "Set up the provider first: create_provider."
            raise CommandError(message)
        try:
            address = inviting.checked_email(email)
            user = User.objects.filter(email=address).first()
            _refuse_unconfirmed(user)
            if dry_run:
                known = "has an account" if user else "has no account yet"
                self.stdout.write(f"{address} {known}, and would have the role {role}.")
                return
            user = user or _made(address)
            people.appoint(
                actor=system("appoint_staff"),
                organisation=provider,
                user=user,
                role=role,
                at=timezone.now(),
            )
        except ValidationError as error:
            raise CommandError(" ".join(error.messages)) from error
        except (inviting.Refused, membership.Refused) as refusal:
            raise CommandError(str(refusal)) from refusal
        self.stdout.write(f"{address} has the role {role} of {provider}.")


def _refuse_unconfirmed(user: User | None) -> None:
    """Anybody can sign up with an address that is not theirs, before whoever reads its letters."""
    if user is not None and user.email_verified_at is None and not user.is_staff:
        message = (
            f"Somebody signed up as {user}, and has not shown that letters to it are theirs. "
            "They must confirm the address first, by the link of the letter."
        )
        raise CommandError(message)


def _made(email: str) -> User:
    password = asked_password()
    validate_password(password, User(email=email))
    return User.objects.create_user(email, password)
