"""E-mail to people: three templates a name, one message."""

from __future__ import annotations

import smtplib
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.utils import format_datetime, make_msgid
from typing import Any, cast

from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.template.loader import render_to_string
from django.utils import timezone
from django.utils.module_loading import import_string


class MailNotSent(Exception):
    """The relay did not take the message; try again later."""


class Refused(MailNotSent):
    """The relay works, and did not take this message for this recipient."""


@dataclass(frozen=True, kw_only=True)
class Letterhead:
    """In whose name a letter is written; `context` goes to its templates."""

    sender: str
    reply_to: str = ""
    context: Mapping[str, Any] = field(default_factory=dict)


def letterhead(organisation_id: int | None) -> Letterhead:
    """How letters to an organisation look, by what `settings.LETTERHEAD` names.

    Whose name stands there is known above this app. None stands for nobody's customer.
    """
    return cast("Letterhead", import_string(settings.LETTERHEAD)(organisation_id))


def rendered(name: str, context: Mapping[str, Any]) -> tuple[str, str, str]:
    """Subject, plain text and HTML of `templates/emails/<name>/`."""
    folder, values = f"emails/{name}", dict(context)
    subject = " ".join(render_to_string(f"{folder}/subject.txt", values).split())
    foot = render_to_string("emails/_foot.txt", values)
    return (
        subject,
        render_to_string(f"{folder}/body.txt", values) + foot,
        render_to_string(f"{folder}/body.html", values),
    )


def send(*, name: str, to: str, context: Mapping[str, Any], letterhead: Letterhead) -> None:
    """Send by the configured relay; raise `MailNotSent` so that the caller can keep its row.

    If only this message was not taken, that is `Refused`, and others may well be.
    """
    subject, text, html = rendered(name, {**context, **letterhead.context})
    message = EmailMultiAlternatives(
        subject=subject,
        body=text,
        from_email=letterhead.sender,
        to=[to],
        reply_to=[letterhead.reply_to] if letterhead.reply_to else None,
    )
    message.attach_alternative(html, "text/html")
    try:
        message.send()
    except (smtplib.SMTPRecipientsRefused, smtplib.SMTPDataError) as refusal:
        raise Refused(str(refusal)) from refusal
    except OSError as error:
        raise MailNotSent(str(error)) from error


def compose(*, name: str, to: str, context: Mapping[str, Any], letterhead: Letterhead) -> bytes:
    """The same message as bytes, for putting straight into a mailbox."""
    subject, text, html = rendered(name, {**context, **letterhead.context})
    message = EmailMessage()
    message["Subject"] = subject
    message["From"] = letterhead.sender
    if letterhead.reply_to:
        message["Reply-To"] = letterhead.reply_to
    message["To"] = to
    message["Date"] = format_datetime(timezone.now())
    message["Message-ID"] = make_msgid(domain=settings.DEFAULT_FROM_EMAIL.rpartition("@")[2])
    message.set_content(text)
    message.add_alternative(html, subtype="html")
    return message.as_bytes()
