from __future__ import annotations

from tests.real_mail import cast, dovecot, live, mail_server, make_program

__all__ = ["cast", "dovecot", "live", "mail_server", "make_program"]
