"""Secrets that are told apart, and everything in which one of them could turn up."""

from __future__ import annotations

import base64
import secrets
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import psutil


class Canaries:
    """Names for secrets, each of them random."""

    def __init__(self):
        self.by_name = {}

    def new(self, name, prefix=""):
        """A secret of our making."""
        return self.know(name, f"{prefix}Cn4ry{secrets.token_hex(12)}")

    def know(self, name, secret):
        """A secret that somebody else has made."""
        assert len(secret) >= 12, name
        assert name not in self.by_name, name
        self.by_name[name] = secret
        return secret

    def found_in(self, content: bytes) -> set[str]:
        """Whose secrets stand in some bytes, in any of the ways in which they get there."""
        return {
            name
            for name, secret in self.by_name.items()
            if any(shape in content for shape in shapes(secret))
        }


def shapes(secret: str) -> Iterator[bytes]:
    raw = secret.encode()
    yield raw
    yield quote(secret, safe="").encode()
    yield raw.hex().encode()
    for shift in range(3):
        # What base64 makes of it inside a longer text; its ends depend on what stands beside it.
        encoded = base64.b64encode(b"x" * shift + raw)
        inner = encoded[4 if shift else 0 : -4]
        yield inner
        yield inner.translate(bytes.maketrans(b"+/", b"-_"))


class ProcessWatch:
    """What `ps` shows of the processes of a machine, looked at again and again."""

    def __init__(self):
        self.seen = set()
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_error):
        self._ends.set()
        self._thread.join()

    def _watch(self):
        while not self._ends.wait(0.02):
            for pid in psutil.pids():
                try:
                    line = Path(f"/proc/{pid}/cmdline").read_bytes()
                    self.seen.add(line + b" " + Path(f"/proc/{pid}/comm").read_bytes())
                except OSError:
                    continue


def files(*folders: Path) -> Iterator[tuple[str, bytes]]:
    """Every file below some folders, by its path there."""
    for folder in folders:
        for path in sorted(folder.rglob("*")):
            if path.is_file() and not path.is_symlink():
                try:
                    yield str(path.relative_to(folder)), path.read_bytes()
                except OSError:
                    continue
