"""E-mail to people: three templates a name, one message."""

from __future__ import annotations

import smtplib
from email.message import EmailMessage
from email.utils import format_datetime, make_msgid
from typing import Any

from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.template.loader import render_to_string
from django.utils import timezone


class MailNotSent(Exception):
    """The relay did not take the message; try again later."""


class Refused(MailNotSent):
    """The relay works, and did not take this message for this recipient."""


def rendered(name: str, context: dict[str, Any]) -> tuple[str, str, str]:
    """Subject, plain text and HTML of `templates/emails/<name>/`."""
    folder = f"emails/{name}"
    subject = " ".join(render_to_string(f"{folder}/subject.txt", context).split())
    return (
        subject,
        render_to_string(f"{folder}/body.txt", context),
        render_to_string(f"{folder}/body.html", context),
    )


def send(*, name: str, to: str, context: dict[str, Any]) -> None:
    """Send by the configured relay; raise `MailNotSent` so that the caller can keep its row.

    If only this message was not taken, that is `Refused`, and others may well be.
    """
    subject, text, html = rendered(name, context)
    message = EmailMultiAlternatives(subject=subject, body=text, to=[to])
    message.attach_alternative(html, "text/html")
    try:
        message.send()
    except (smtplib.SMTPRecipientsRefused, smtplib.SMTPDataError) as refusal:
        raise Refused(str(refusal)) from refusal
    except OSError as error:
        raise MailNotSent(str(error)) from error


def compose(*, name: str, to: str, context: dict[str, Any]) -> bytes:
    """The same message as bytes, for putting straight into a mailbox."""
    subject, text, html = rendered(name, context)
    message = EmailMessage()
    message["Subject"] = subject
    message["From"] = settings.DEFAULT_FROM_EMAIL
    message["To"] = to
    message["Date"] = format_datetime(timezone.now())
    message["Message-ID"] = make_msgid(domain=settings.DEFAULT_FROM_EMAIL.rpartition("@")[2])
    message.set_content(text)
    message.add_alternative(html, subtype="html")
    return message.as_bytes()
