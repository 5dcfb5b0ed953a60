"""Renders Dovecot's whole configuration into one folder and proves it before it is used.

Nothing a customer types ends up here: accounts live behind three SQL views.
"""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from mailstore.engine import templates


class ConfigurationRefused(Exception):
    """Dovecot would not start with this configuration; the text is what it says."""


@dataclass(frozen=True, kw_only=True)
class SQLiteFiles:
    """The panel's database, and the one Dovecot writes its reports to."""

    panel: Path
    reports: Path


@dataclass(frozen=True, kw_only=True)
class PostgreSQL:
    """How Dovecot's restricted role reaches the panel's database."""

    host: str
    port: int
    name: str
    user: str
    password: str


@dataclass(frozen=True, kw_only=True)
class Guard:
    """Whom Dovecot asks before it looks at a password, and how it proves itself there."""

    url: str
    key: str
    nonce: str


@dataclass(frozen=True, kw_only=True)
class MailServer:
    """Everything that a Dovecot of ours is made from."""

    folder: Path
    mail_root: Path
    user: str
    group: str
    listen: str
    host_name: str
    imap_port: int
    imaps_port: int
    pop3_port: int
    pop3s_port: int
    lmtp_host: str
    lmtp_port: int
    doveadm_host: str
    doveadm_port: int
    doveadm_api_key: str
    certificate: Path
    key: Path
    database: SQLiteFiles | PostgreSQL
    guard: Guard | None = None
    failure_delay_seconds: int = 2

    @property
    def conf(self) -> Path:
        """The folder of the configuration in use."""
        return self.folder / "conf"

    @property
    def main_file(self) -> Path:
        """What `dovecot -c` is given."""
        return self.conf / "dovecot.conf"

    @property
    def run(self) -> Path:
        """Sockets and the process id; short, because a socket's path has at most 108 bytes."""
        return self.folder / "run"

    @property
    def log(self) -> Path:
        """Dovecot's log."""
        return self.folder / "log" / "dovecot.log"


def render(server: MailServer) -> dict[str, str]:
    """The configuration as file names and their text."""
    words = _words(server)
    files = {name: template.substitute(words) for name, template in templates.COMMON.items()}
    sql = templates.SQLITE if isinstance(server.database, SQLiteFiles) else templates.POSTGRESQL
    return files | {name: template.substitute(words) for name, template in sql.items()}


def install(server: MailServer) -> None:
    """Write the configuration beside the one in use, prove it, then swap the two.

    Raises `ConfigurationRefused` and leaves the one in use as it was.
    """
    draft = server.folder / "conf.new"
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(mode=0o700, parents=True)
    for name, text in render(server).items():
        path = draft / name
        path.touch(mode=0o600)
        # The files name each other by their final place; for the proof they lie in the draft.
        path.write_text(text.replace(str(server.conf), str(draft)), encoding="utf-8")
    _prove(draft / "dovecot.conf")
    for name, text in render(server).items():
        (draft / name).write_text(text, encoding="utf-8")
    old = server.folder / "conf.old"
    shutil.rmtree(old, ignore_errors=True)
    if server.conf.exists():
        server.conf.rename(old)
    draft.rename(server.conf)


def _prove(main_file: Path) -> None:
    proof = subprocess.run(
        ["doveconf", "-c", str(main_file), "-n"],  # noqa: S607  # wherever the system has it
        capture_output=True,
        text=True,
        check=False,
    )
    if proof.returncode:
        raise ConfigurationRefused(proof.stderr.strip())


def _guard(guard: Guard | None) -> str:
    """The settings by which it is asked; without one nobody is."""
    if guard is None:
        return ""
    return templates.GUARD.substitute(url=guard.url, key=guard.key, nonce=guard.nonce)


def _words(server: MailServer) -> dict[str, object]:
    words: dict[str, object] = {
        "folder": server.folder,
        "conf": server.conf,
        "run": server.run,
        "log": server.log,
        "mail_root": server.mail_root,
        "user": server.user,
        "group": server.group,
        "listen": server.listen,
        "host_name": server.host_name,
        "imap_port": server.imap_port,
        "imaps_port": server.imaps_port,
        "pop3_port": server.pop3_port,
        "pop3s_port": server.pop3s_port,
        "lmtp_host": server.lmtp_host,
        "lmtp_port": server.lmtp_port,
        "doveadm_host": server.doveadm_host,
        "doveadm_port": server.doveadm_port,
        "doveadm_api_key": server.doveadm_api_key,
        "certificate": server.certificate,
        "key": server.key,
        "failure_delay_seconds": server.failure_delay_seconds,
        "guard": _guard(server.guard),
    }
    database = server.database
    if isinstance(database, SQLiteFiles):
        return words | {
            "dict_driver": "sqlite",
            "panel": database.panel,
            "reports": database.reports,
        }
    return words | {
        "dict_driver": "pgsql",
        "connect": f"host={database.host} port={database.port} dbname={database.name} "
        f"user={database.user} password={database.password}",
    }
