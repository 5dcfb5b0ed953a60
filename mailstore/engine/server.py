"""This installation's mail server, as the settings describe it."""

from __future__ import annotations

from pathlib import Path

import dj_database_url
from django.conf import settings

from mailstore import guard
from mailstore.engine import process
from mailstore.engine.config import Guard, MailServer, PostgreSQL, SQLiteFiles


def server_from_settings() -> MailServer:
    """The mail server to render and start on this machine."""
    user, group = process.current_user()
    state: Path = settings.RESTANTE_STATE
    return MailServer(
        folder=state / "dovecot",
        mail_root=settings.MAIL_ROOT,
        user=user,
        group=group,
        listen=", ".join(settings.MAIL_ADDRESSES),
        host_name=settings.MAIL_HOST,
        imap_port=settings.IMAP_PORT,
        imaps_port=settings.IMAPS_PORT,
        pop3_port=settings.POP3_PORT,
        pop3s_port=settings.POP3S_PORT,
        lmtp_host=settings.LMTP_HOST,
        lmtp_port=settings.LMTP_PORT,
        doveadm_host=settings.DOVEADM_HOST,
        doveadm_port=settings.DOVEADM_PORT,
        doveadm_api_key=settings.DOVEADM_API_KEY,
        certificate=settings.MAIL_CERTIFICATE,
        key=settings.MAIL_KEY,
        database=_database(),
        guard=_guard(),
    )


def _guard() -> Guard:
    secret: str = settings.DOVEADM_API_KEY
    host: str = settings.GUARD_HOST
    named = f"[{host}]" if ":" in host else host
    return Guard(
        url=f"http://{named}:{settings.GUARD_PORT}/",
        key=guard.key_from(secret),
        nonce=guard.nonce_from(secret),
    )


def _database() -> SQLiteFiles | PostgreSQL:
    if not settings.DATABASE_URL:
        return SQLiteFiles(
            panel=Path(settings.DATABASES["default"]["NAME"]),
            reports=Path(settings.DATABASES["reports"]["NAME"]),
        )
    parts = dj_database_url.parse(settings.DOVECOT_DATABASE_URL)
    return PostgreSQL(
        host=parts.get("HOST") or "localhost",
        port=int(parts.get("PORT") or 5432),
        name=parts["NAME"],
        user=parts.get("USER", ""),
        password=parts.get("PASSWORD", ""),
    )
