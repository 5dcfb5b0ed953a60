"""Set up the house itself, with the first person of its staff."""

from __future__ import annotations

import getpass
import sys
from typing import Any

from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.core.validators import validate_email
from django.utils import timezone

from accounts import membership


class Command(BaseCommand):
    """Asks for the password, or reads it from the input if that is no terminal."""

    help = "Set up the provider and the first person of its staff."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", help="the provider's name, as customers see it")
        parser.add_argument("email", help="the e-mail address to sign in with")

    def handle(self, *, name: str, email: str, **options: Any) -> None:
        password = asked_password()
        try:
            validate_email(email)
            validate_password(password)
            user = membership.found_provider(
                name=name,
                email=email,
                password=password,
                at=timezone.now(),
            )
        except ValidationError as error:
            raise CommandError(" ".join(error.messages)) from error
        except membership.ProviderExists as refusal:
            raise CommandError(str(refusal)) from refusal
        self.stdout.write(f"{name} is set up, and {user.email} can sign in.")


def asked_password() -> str:
    """From the terminal, without showing it, or else a line of the input."""
    if sys.stdin.isatty():
        return getpass.getpass("Password: ")
    return sys.stdin.readline().rstrip("\n")
