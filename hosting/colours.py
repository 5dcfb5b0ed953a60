"""Colours of a brand: whether text on them can be read, and what is made from them.

Contrast is that of WCAG 2.2: at least 4.5 to 1 between a text and what lies behind it. The
accent is both: the colour of links on each background of the pages, and the background of buttons.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable

LEAST_CONTRAST = 4.5

# The backgrounds of static/css/tokens.css: paper, sheet and wash.
_LIGHT_BACKGROUNDS = ("#f8f7f3", "#ffffff", "#f3f1eb")
_DARK_BACKGROUNDS = ("#101317", "#181c22", "#20252c")
LIGHT_INK, DARK_INK = "#ffffff", "#0f1729"
_WHITE, _BLACK, _DARK_SHEET = "#ffffff", "#000000", "#181c22"
# Steps of a mixture.
_WHOLE = 1000
_LIGHT_WASH, _DARK_WASH = 920, 860
_DEEPER, _BRIGHTER = 220, 300
# Below this, sRGB is a straight line.
_STRAIGHT = 0.04045
_HEX = re.compile(r"#?([0-9a-fA-F]{6})\Z")


class NotAColour(Exception):
    """What was typed is no colour; the text says how one is written."""


def canonical(text: str) -> str:
    """The one spelling of a colour, such as `#24479f`; raises `NotAColour`."""
    found = _HEX.match(text.strip())
    if found is None:
        message = "Write a colour as # and six signs from 0 to 9 and a to f, like #24479f."
        raise NotAColour(message)
    return f"#{found[1].lower()}"


def contrast(one: str, other: str) -> float:
    """From 1 for two equal colours to 21 for black and white."""
    darker, brighter = sorted((_luminance(one), _luminance(other)))
    return (brighter + 0.05) / (darker + 0.05)


def fits_light(accent: str) -> bool:
    """Whether the accent can be read on light pages, and white text on it."""
    behind = (*_LIGHT_BACKGROUNDS, _light_wash(accent), LIGHT_INK)
    return _least(accent, behind) >= LEAST_CONTRAST


def fits_dark(accent: str) -> bool:
    """Whether the accent can be read on dark pages, and dark text on it."""
    behind = (*_DARK_BACKGROUNDS, _dark_wash(accent), DARK_INK)
    return _least(accent, behind) >= LEAST_CONTRAST


def nearest_light(accent: str) -> str:
    """The first shade, from the accent towards black, that can be read on light pages."""
    return _nearest(accent, towards=_BLACK, fits=fits_light)


def nearest_dark(accent: str) -> str:
    """The first shade, from the accent towards white, that can be read on dark pages."""
    return _nearest(accent, towards=_WHITE, fits=fits_dark)


def made_dark(accent: str) -> str:
    """A shade for dark pages, a little brighter than it needs to be."""
    return _mixed(nearest_dark(accent), _WHITE, _BRIGHTER)


def style_sheet(*, accent: str, accent_dark: str) -> str:
    """The custom properties that take the place of those in tokens.css."""
    light = {
        "accent": accent,
        "accent-deep": _mixed(accent, _BLACK, _DEEPER),
        "accent-ink": LIGHT_INK,
        "accent-wash": _light_wash(accent),
    }
    dark = {
        "accent": accent_dark,
        "accent-deep": _mixed(accent_dark, _WHITE, _BRIGHTER),
        "accent-ink": DARK_INK,
        "accent-wash": _dark_wash(accent_dark),
    }
    return f"{_root(light)}@media (prefers-color-scheme: dark){{{_root(dark)}}}\n"


def digest(sheet: str) -> str:
    """A name for what a style sheet says, so that browsers may keep it for ever."""
    return hashlib.sha256(sheet.encode("ascii")).hexdigest()[:16]


def _root(properties: dict[str, str]) -> str:
    return ":root{" + "".join(f"--{name}:{value};" for name, value in properties.items()) + "}"


def _light_wash(accent: str) -> str:
    return _mixed(accent, _WHITE, _LIGHT_WASH)


def _dark_wash(accent: str) -> str:
    return _mixed(accent, _DARK_SHEET, _DARK_WASH)


def _least(accent: str, behind: tuple[str, ...]) -> float:
    return min(contrast(accent, each) for each in behind)


def _nearest(accent: str, *, towards: str, fits: Callable[[str], bool]) -> str:
    shades = (_mixed(accent, towards, step) for step in range(_WHOLE + 1))
    return next(shade for shade in shades if fits(shade))


def _mixed(colour: str, other: str, step: int) -> str:
    """The colour with so many thousandths of the other."""
    pairs = zip(_parts(colour), _parts(other), strict=True)
    mixed = [(one * (_WHOLE - step) + two * step + _WHOLE // 2) // _WHOLE for one, two in pairs]
    return "#{:02x}{:02x}{:02x}".format(*mixed)


def _parts(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def _luminance(colour: str) -> float:
    red, green, blue = (_linear(part / 255) for part in _parts(colour))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _linear(part: float) -> float:
    return part / 12.92 if part <= _STRAIGHT else float(((part + 0.055) / 1.055) ** 2.4)
