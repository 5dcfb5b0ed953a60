"""Starts, stops and reloads a Dovecot of ours on this machine."""

from __future__ import annotations

import grp
import os
import pwd
import shutil
import signal
import subprocess
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from mailstore.engine.config import MailServer

_SELF_SIGNED_DAYS = 3650
_STOP_SECONDS = 10


class NotInstalled(Exception):
    """There is no Dovecot on this machine."""


def installed_version() -> str:
    """The version of the Dovecot on this machine, such as `2.3.19.1`."""
    if shutil.which("dovecot") is None:
        message = "Dovecot is not installed on this machine."
        raise NotInstalled(message)
    answer = subprocess.run(
        ["dovecot", "--version"],  # noqa: S607  # wherever the system has it
        capture_output=True,
        text=True,
        check=True,
    )
    return answer.stdout.split()[0]


def command(server: MailServer) -> list[str]:
    """What runs Dovecot in the foreground."""
    return ["dovecot", "-F", "-c", str(server.main_file)]


def prepare(server: MailServer) -> None:
    """Make folders and a certificate, and clear what a killed Dovecot left behind."""
    for folder in (server.folder, server.run, server.folder / "state", server.log.parent):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    server.mail_root.mkdir(mode=0o700, parents=True, exist_ok=True)
    # With the penalty off, a socket of an earlier run makes the first sign-in wait 5 seconds.
    (server.run / "anvil-auth-penalty").unlink(missing_ok=True)
    if not server.certificate.exists():
        make_certificate(server.certificate, server.key, host_name=server.host_name)


def make_certificate(certificate: Path, key: Path, *, host_name: str) -> None:
    """A self-signed certificate, good enough to try the system on one's own machine."""
    certificate.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    private_key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host_name)])
    now = datetime.now(tz=UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private_key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=_SELF_SIGNED_DAYS))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host_name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(private_key, hashes.SHA256())
    )
    key.touch(mode=0o600)
    key.write_bytes(
        private_key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ),
    )
    certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))


def running_pid(server: MailServer) -> int | None:
    """The process id of this server's Dovecot, if it runs."""
    try:
        pid = int((server.run / "master.pid").read_text(encoding="ascii"))
        arguments = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except (OSError, ValueError):
        return None
    return pid if str(server.main_file).encode() in arguments else None


def stop(server: MailServer) -> None:
    """End Dovecot and wait until it is gone; does nothing if it is not running."""
    pid = running_pid(server)
    if pid is None:
        return
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + _STOP_SECONDS
    while running_pid(server) is not None:
        if time.monotonic() > deadline:
            os.kill(pid, signal.SIGKILL)
            return
        time.sleep(0.05)


def current_user() -> tuple[str, str]:
    """The user and group that this process, and so Dovecot, runs as."""
    entry = pwd.getpwuid(os.geteuid())
    return entry.pw_name, grp.getgrgid(os.getegid()).gr_name
