"""What a password may be, beside what Django's own rules say: named by `settings`.

There is no rule about kinds of characters, and none that asks for another one every few months.
"""

from __future__ import annotations

import threading
from typing import Any

from django.contrib.auth.password_validation import CommonPasswordValidator
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

# No passphrase is longer, and no hash is made of what is.
LONGEST = 1000
# Beyond so many characters a password is long enough, and judging it would take long too.
_LOOKED_AT = 72
# Ten guesses an hour get through at the door. Somebody who has stolen the table makes some
# thousands of Argon2 hashes a second.
_FEWEST_GUESSES = 10**8
# What is known of a person lies in one place of the library while it judges.
_one_at_a_time = threading.Lock()


class NotTooLong:
    """Refuses what is longer than anybody types or keeps, before a hash is made of it."""

    def validate(self, password: str, user: Any = None) -> None:  # noqa: ARG002  # Django's signature
        """Raise `ValidationError` if it is."""
        if len(password) > LONGEST:
            text = _("This password is too long. It may have %(most)d characters.")
            raise ValidationError(text % {"most": LONGEST}, code="password_too_long")

    def get_help_text(self) -> str:
        """The rule."""
        return _("It may have %(most)d characters.") % {"most": LONGEST}


class HardToGuess(CommonPasswordValidator):
    """Refuses what thieves try first: leaked passwords, names, keyboard rows, and mixtures of them.

    The lists are Django's and zxcvbn's, with what is known of the person beside them. Nothing is
    asked outside of the house.
    """

    def validate(self, password: str, user: Any = None) -> None:
        """Raise `ValidationError` if it is found after too few guesses."""
        # Its lists take 14 MB, in every process, and most of them never see a new password.
        from zxcvbn import zxcvbn  # noqa: PLC0415

        about = [str(getattr(user, name, "") or "")[:_LOOKED_AT] for name in ("email", "name")]
        words = [each for text in about for each in [text, *text.replace("@", " ").split()] if each]
        with _one_at_a_time:
            judged = zxcvbn(password[:_LOOKED_AT], user_inputs=words)
        is_listed = password.lower().strip() in self.passwords
        if is_listed or judged["guesses"] < _FEWEST_GUESSES:
            text = _(
                "This password is easy to guess: it is made of what thieves try first. A few words "
                "that have nothing to do with each other are better."
            )
            raise ValidationError(text, code="password_easy_to_guess")

    def get_help_text(self) -> str:
        """The rule."""
        return _("It must not be one that thieves try first.")
