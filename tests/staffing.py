"""What tests of the staff pages share: a browser past the second factor, and acting on rows."""

from __future__ import annotations

import csv

from django.test import Client
from django_otp import DEVICE_ID_SESSION_KEY
from django_otp.plugins.otp_totp.models import TOTPDevice

from accounts.models import Event

MAILBOXES = "/staff/mailstore/mailbox/"


def verified(user):
    """A browser in which this person has signed in with a second factor."""
    client = Client()
    client.force_login(user)
    device = TOTPDevice.objects.create(user=user, name="phone", confirmed=True)
    session = client.session
    session[DEVICE_ID_SESSION_KEY] = device.persistent_id
    session.save()
    return client


def said(response):
    return [str(message) for message in response.context["messages"]]


def act(client, action, *rows, path=MAILBOXES, **fields):
    chosen = [row.pk for row in rows]
    answer = {"action": action, "_selected_action": chosen, "index": 0, **fields}
    return client.post(path, answer, follow=True)


def facts(kind):
    return list(Event.objects.filter(kind=kind).values_list("subject_name", "actor_name"))


def lines_of(response):
    return list(csv.reader(response.getvalue().decode().splitlines()))
