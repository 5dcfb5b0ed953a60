"""Reads settings from the environment and refuses values that make no sense."""

from __future__ import annotations

import os
import secrets
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured

from hosting import money

_TRUE = frozenset({"1", "true", "yes", "on"})
_FALSE = frozenset({"0", "false", "no", "off", ""})
_HIGHEST_PORT = 65535
# Every name that was asked for: what the environment of this program may contain.
known_names: set[str] = set()


def _given(name: str) -> str | None:
    known_names.add(name)
    return os.environ.get(name)


def text(name: str, *, default: str) -> str:
    """The variable `name`, or the content of the file that `name_FILE` points to.

    A secret handed over as a file stays out of the process list and of `docker inspect`.
    """
    known_names.add(f"{name}_FILE")
    file_name = os.environ.get(f"{name}_FILE")
    if not file_name:
        given = _given(name)
        return default if given is None else given
    try:
        return Path(file_name).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        message = f"{name}_FILE points to {file_name}, which cannot be read: {error}."
        raise ImproperlyConfigured(message) from error


def flag(name: str, *, default: bool) -> bool:
    """A yes or no; anything else is refused rather than guessed."""
    value = _given(name)
    if value is None:
        return default
    if value.lower() in _TRUE:
        return True
    if value.lower() in _FALSE:
        return False
    message = f"{name} is {value!r}; write yes or no."
    raise ImproperlyConfigured(message)


def amounts(name: str, *, default: str) -> dict[str, int]:
    """Amounts by currency, as `EUR 5, JPY 800`, in minor units."""
    found: dict[str, int] = {}
    for part in filter(None, (each.strip() for each in text(name, default=default).split(","))):
        currency, _space, amount = part.partition(" ")
        try:
            found[currency] = money.exact_minor(Decimal(amount), currency=currency)
        except (KeyError, ArithmeticError, ValueError) as error:
            message = f"{name} has {part!r}; write amounts as EUR 5, JPY 800."
            raise ImproperlyConfigured(message) from error
        if found[currency] < 0:
            message = f"{name} has {part!r}; an amount cannot be below zero."
            raise ImproperlyConfigured(message)
    return found


def whole_number(name: str, *, default: int, lowest: int = 0, highest: int | None = None) -> int:
    """A whole number between `lowest` and `highest`."""
    value = _given(name)
    if value is None:
        return default
    try:
        number = int(value)
    except ValueError:
        number = lowest - 1
    if number < lowest or (highest is not None and number > highest):
        upper = "" if highest is None else f" up to {highest}"
        message = f"{name} is {value!r}; write a whole number from {lowest}{upper}."
        raise ImproperlyConfigured(message)
    return number


def days(name: str, *, default: int, lowest: int = 0, highest: int) -> timedelta:
    """So many whole days, between `lowest` and `highest`."""
    return timedelta(days=whole_number(name, default=default, lowest=lowest, highest=highest))


def port(name: str, *, default: int) -> int:
    """A TCP port."""
    return whole_number(name, default=default, lowest=1, highest=_HIGHEST_PORT)


def words(name: str, *, default: str) -> list[str]:
    """A comma-separated list."""
    return [word.strip() for word in text(name, default=default).split(",") if word.strip()]


def kept_secret(name: str, *, folder: Path) -> str:
    """The secret `name`: from the environment, else made once and kept in `folder`.

    The file is written under another name and linked into place, so that two processes
    that start at the same moment end up with the same secret.
    """
    given = text(name, default="")
    if given:
        return given
    path = folder / name.lower()
    if not path.exists():
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft = folder / f".{name.lower()}.{os.getpid()}"
        draft.touch(mode=0o600)
        draft.write_text(secrets.token_urlsafe(48), encoding="ascii")
        try:
            os.link(draft, path)
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    return path.read_text(encoding="ascii").strip()
