"""What a page may not hold, so that browsers run and load only what the panel itself serves."""

from __future__ import annotations

from html.parser import HTMLParser

# Attributes by which a browser fetches something by itself, or sends a form.
_LOADING = frozenset({"src", "srcset", "poster", "data", "background", "action", "formaction"})
_LOADS_BY_HREF = frozenset({"link", "image", "use", "base"})
# Data in a script element is no program.
_DATA = frozenset({"application/json", "application/ld+json"})


class _Faults(HTMLParser):
    def __init__(self):
        super().__init__()
        self.found = []
        self._in_script = False

    def handle_starttag(self, tag, attrs):
        given = {name: value or "" for name, value in attrs}
        if tag in {"style", "base", "iframe", "object", "embed"}:
            self.found.append(f"<{tag}>")
        is_program = tag == "script" and given.get("type", "") not in _DATA
        self._in_script = is_program
        if is_program and not given.get("src"):
            self.found.append("<script> without src")
        for name, value in given.items():
            self._look_at(tag, name, value.strip())

    def _look_at(self, tag, name, value):
        if name == "style" or name.startswith(("on", "hx-on", "x-on", "@")):
            self.found.append(f"{tag} {name}=")
        if value.lower().startswith(("javascript:", "vbscript:")):
            self.found.append(f"{tag} {name}={value}")
        loads = name in _LOADING or (name in {"href", "xlink:href"} and tag in _LOADS_BY_HREF)
        if name.startswith("hx-") and name.removeprefix("hx-") in {"get", "post", "put", "delete"}:
            loads = True
        is_picture = tag in {"img", "image"} and value.startswith("data:image/")
        is_own = value.startswith(("/", "?", "#")) and not value.startswith(("//", "/\\"))
        if loads and value and not is_own and not is_picture:
            self.found.append(f"{tag} {name}={value}")

    def handle_data(self, data):
        if self._in_script and data.strip():
            self.found.append("a script inside the page")

    def handle_endtag(self, tag):
        if tag == "script":
            self._in_script = False


def faults(text: str) -> list[str]:
    """Everything in a page that a policy without inline and foreign things forbids."""
    looking = _Faults()
    looking.feed(text)
    looking.close()
    return looking.found


class _Elements(HTMLParser):
    def __init__(self):
        super().__init__()
        self.found = []

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))


def elements(text: str) -> list[tuple[str, dict[str, str | None]]]:
    """Every element of a page with its attributes, as a browser takes it."""
    looking = _Elements()
    looking.feed(text)
    looking.close()
    return looking.found
