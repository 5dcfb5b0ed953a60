"""What a person sees when everything runs."""

from __future__ import annotations

from django.conf import settings

from hosting import demo


def show() -> None:
    """Print where everything is and, if the demo lives here, who can sign in."""
    print(_addresses(), _sign_ins(), sep="\n", flush=True)


def _sign_ins() -> str:
    entries = demo.sign_ins()
    if not entries:
        return ""
    width = max(len(entry.name) for entry in entries)
    lines = [f"  {entry.name:{width}}  {entry.secret:34}  {entry.what}" for entry in entries]
    return "\n".join(
        [
            "Demo sign-ins: people at the panel, mailboxes in a mail program.",
            "",
            *lines,
            "",
            *_second_factors(entries),
        ],
    )


def _second_factors(entries: list[demo.SignIn]) -> list[str]:
    with_app = [entry for entry in entries if entry.authenticator]
    if not with_app:
        return [
            "Staff and resellers set up a second factor at their first sign-in.",
            "",
        ]
    return [
        "Staff and resellers show a second factor as well. `bin/manage show_demo_codes` says what",
        "their authenticator app shows now; or put the secret into an app of your own:",
        "",
        *(f"  {entry.name}  {entry.authenticator}" for entry in with_app),
        "",
    ]


def _addresses() -> str:
    host = settings.MAIL_HOST
    return f"""
Restante is running. Ctrl-C stops it.

  Panel      {settings.PANEL_URL}/
  IMAP       {host}, port {settings.IMAP_PORT} (STARTTLS) or {settings.IMAPS_PORT} (TLS)
  POP3       {host}, port {settings.POP3_PORT} (STARTTLS) or {settings.POP3S_PORT} (TLS)
  Delivery   LMTP on {settings.LMTP_HOST}, port {settings.LMTP_PORT}
  Data       {settings.RESTANTE_STATE}
  Check      bin/manage doctor
"""
