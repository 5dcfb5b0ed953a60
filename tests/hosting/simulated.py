"""Rows of test mode: a test organisation, its mailboxes, and how its clock is advanced."""

from __future__ import annotations

from datetime import UTC, datetime

from accounts.access import system
from accounts.models import Organisation
from hosting import ordering, test_clock
from hosting.models import Plan
from mailstore import domains
from mailstore.engine import engine
from mailstore.models import Mailbox, Usage

ACTOR = system("tests")
MADE = datetime(2026, 10, 20, tzinfo=UTC)
# What time it really is, far from what any clock here says.
REALLY = datetime(2026, 12, 24, 17, tzinfo=UTC)


def now():
    return REALLY


def make_test_customer(parent, name="Trial", made=MADE):
    return Organisation.objects.create(
        kind="customer", name=name, parent=parent, is_test=True, created_at=made
    )


def make_test_mailbox(organisation, name="hello", slug="imap", host="trial.test"):
    domain = organisation.domains.filter(name=host).first() or domains.add(
        actor=ACTOR, organisation=organisation, name=host, at=REALLY
    )
    mailbox = ordering.order(
        actor=ACTOR,
        domain=domain,
        local_part=name,
        plan=Plan.objects.get(slug=slug),
        at=REALLY,
    )
    Mailbox.objects.filter(pk=mailbox.pk).update(state=Mailbox.State.ACTIVE)
    mailbox.refresh_from_db()
    return mailbox


def keeps(mailbox, size):
    """What the mail server reports of it from now on."""
    Usage.objects.update_or_create(username=mailbox.address, defaults={"bytes": size})


def ask(organisation, **target):
    return test_clock.advance(actor=ACTOR, organisation=organisation, at=REALLY, **target)


def work_off(asked):
    assert test_clock.run(advance_id=asked.pk, engine=engine(), now=now)
    asked.refresh_from_db()
    return asked


def advance(organisation, **target):
    return work_off(ask(organisation, **target))
