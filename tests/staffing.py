"""How tests sign people in, and what tests of the staff pages share."""

from __future__ import annotations

import csv

from django.http import HttpRequest
from django.test import Client
from django.utils import timezone
from django_otp import DEVICE_ID_SESSION_KEY

from accounts import stepping_up
from accounts.models import Authenticator, Event, Membership, User
from accounts.second_factor import authenticators, demanding
from hosting.models import BulkRequest

MAILBOXES = "/staff/mailstore/mailbox/"
# What the authenticator app of everybody in the tests holds.
SECRET = b"twenty bytes of it.."


def verified(user, client=None):
    """A browser in which this person has signed in and shown a second factor just now."""
    client = client or Client()
    client.force_login(user)
    device = Authenticator.objects.filter(user=user, confirmed=True).first()
    device = device or authenticators.give(user, secret=SECRET)
    session = client.session
    session[DEVICE_ID_SESSION_KEY] = device.persistent_id
    note(session, stepping_up.note)
    session.save()
    return client


def in_role(user, role):
    """The browser of a member of staff who has another role from now on."""
    Membership.objects.filter(user=user, organisation__kind="provider").update(role=role)
    User.objects.filter(pk=user.pk).update(is_superuser=role == "operator")
    return verified(User.objects.get(pk=user.pk))


def signed_in(user, client=None):
    """A browser in which this person has just come in, with a second factor if there must be one.

    This is how tests sign people in: staff and sellers are asked for a second factor.
    """
    standing = demanding.standing(user, at=timezone.now())
    if standing.must_enrol_now or standing.has_factor:
        return verified(user, client)
    client = client or Client()
    client.force_login(user)
    session = client.session
    note(session, stepping_up.note_password)
    session.save()
    return client


def by_password_alone(user, client=None):
    """A browser in which somebody knew the password, an hour ago, and showed nothing else."""
    client = client or Client()
    client.force_login(user)
    return client


def stale(client):
    """The same browser an hour later: whoever sits there has to prove it once more."""
    session = client.session
    for name in ("second_factor_proved_at", "password_proved_at"):
        if name in session:
            session[name] -= 3600
    session.save()
    return client


def note(session, what):
    request = HttpRequest()
    request.session = session
    what(request, at=timezone.now())


def said(response):
    return [str(message) for message in response.context["messages"]]


def act(client, action, *rows, path=MAILBOXES, **fields):
    chosen = [row.pk for row in rows]
    answer = {"action": action, "_selected_action": chosen, "index": 0, **fields}
    return client.post(path, answer, follow=True)


def ask_in_bulk(client, action, *rows, path=MAILBOXES, reason="They asked for it.", **fields):
    """Choose rows in a list, look, and say yes; returns the request and the last answer."""
    act(client, action, *rows, path=path)
    asked = BulkRequest.objects.latest("pk")
    where = f"/staff/hosting/bulkrequest/{asked.pk}/ask/"
    if fields:
        client.post(where, {"reason": reason, **fields})
    answer = client.post(where, {"reason": reason, "confirmed": "yes", **fields}, follow=True)
    asked.refresh_from_db()
    return asked, answer


def facts(kind):
    return list(Event.objects.filter(kind=kind).values_list("subject_name", "actor_name"))


def lines_of(response):
    return list(csv.reader(response.getvalue().decode().splitlines()))
