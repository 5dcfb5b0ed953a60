from __future__ import annotations

from tests.live.guarded import guarded, guarded_pair, impatient
from tests.live.panel import panel
from tests.real_mail import cast, dovecot, live, mail_server, make_program

__all__ = [
    "cast",
    "dovecot",
    "guarded",
    "guarded_pair",
    "impatient",
    "live",
    "mail_server",
    "make_program",
    "panel",
]
