from __future__ import annotations

from collections import Counter, defaultdict

import pytest

from tests.real_mail import cast, dovecot, live, mail_server, make_program

__all__ = ["cast", "dovecot", "live", "mail_server", "make_program"]

_COUNTED: defaultdict[str, Counter[str]] = defaultdict(Counter)


@pytest.fixture
def counts(request):
    """Adds to what the summary says of a test."""

    def count(**numbers):
        _COUNTED[request.node.originalname.removeprefix("test_")].update(numbers)

    return count


def pytest_terminal_summary(terminalreporter):
    """Say how much was killed and compared, since a dot does not."""
    if _COUNTED:
        terminalreporter.section("model and kill tests")
    for name, numbers in _COUNTED.items():
        text = ", ".join(f"{number} {what}" for what, number in numbers.items())
        terminalreporter.write_line(f"{name.replace('_', ' ')}: {text}")
