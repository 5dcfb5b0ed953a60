"""What people call a browser: "Firefox on Windows". Pure.

What a browser says of itself was written by whoever sent it, so only names that look like names
are repeated.
"""

from __future__ import annotations

import re

from django.utils.translation import gettext as _
from ua_parser import parse

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9 .+/_-]{0,39}\Z")
# What the parser calls by the name of a device is said by the name on its back.
_DEVICES = frozenset({"iPhone", "iPad", "iPod"})
_UNKNOWN = frozenset({"", "Other"})


def in_words(user_agent: str) -> str:
    """The browser and what it runs on, as far as they are known; `user_agent` is cut already."""
    found = parse(user_agent)
    browser = _name(found.user_agent.family if found.user_agent else "")
    device = _name(found.device.family if found.device else "")
    system = device if device in _DEVICES else _name(found.os.family if found.os else "")
    if browser and system:
        return _("%(browser)s on %(system)s") % {"browser": browser, "system": system}
    if system:
        return _("A browser on %(system)s") % {"system": system}
    return browser or _("A browser that we do not know")


def _name(family: str) -> str:
    """The family, unless it is none; phones' browsers are called like their elder sisters."""
    if family in _UNKNOWN or not _NAME.match(family):
        return ""
    return family.removesuffix(" Mobile").removesuffix(" iOS").removeprefix("Mobile ")
