"""The settings of the live tests: a real Dovecot on free ports, over SQLite or PostgreSQL."""

import os
import tempfile
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from tests.servers import free_port

# The journeys put their pictures where a person finds them.
PICTURES = Path(os.environ.get("RESTANTE_STATE", tempfile.gettempdir())) / "pictures"
os.environ["RESTANTE_STATE"] = tempfile.mkdtemp(prefix="restante-live-")
for _name in (
    "IMAP_PORT",
    "IMAPS_PORT",
    "POP3_PORT",
    "POP3S_PORT",
    "LMTP_PORT",
    "DOVEADM_PORT",
    "GUARD_PORT",
):
    os.environ[_name] = str(free_port())
os.environ["MAIL_LISTEN"] = "127.0.0.1,::1"

if "DATABASE_URL" in os.environ:
    _parts = urlsplit(os.environ["DATABASE_URL"])
    _host = f"dovecot_role:only-for-tests@{_parts.hostname}:{_parts.port}"
    os.environ["DOVECOT_DATABASE_URL"] = urlunsplit(
        ("postgres", _host, "/test_postgres", "", ""),
    )

from hosting.settings import *  # noqa: F403  # the environment comes first
from hosting.settings import DATABASE_URL, DATABASES

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
if not DATABASE_URL:
    # Dovecot and workers open the files themselves, so they cannot be in memory.
    for _alias in DATABASES:
        DATABASES[_alias]["TEST"] = {"NAME": str(DATABASES[_alias]["NAME"])}
