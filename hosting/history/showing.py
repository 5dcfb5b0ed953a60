"""Names that somebody chose, made harmless for a page: they turn nothing around."""

from __future__ import annotations

import unicodedata

# Control characters, what changes the direction of text, and what breaks lines.
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_JOINERS = frozenset({"\u200c", "\u200d"})


def harmless(text: str) -> str:
    """The text with a sign in place of each character that cannot be seen."""
    return "".join(
        "\ufffd" if unicodedata.category(each) in _HIDDEN and each not in _JOINERS else each
        for each in text
    )
