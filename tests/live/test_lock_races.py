"""Batches beside verbs that lock the same rows: nobody waits in a ring, on a real database."""

from __future__ import annotations

import json
import time
from collections import Counter
from datetime import timedelta
from functools import partial

import pytest
from django.db import transaction
from django.test import Client

from accounts.access import system
from hosting import public_ids
from hosting.models import Limits, Plan, Price
from mailstore import credentials, devices, due, logbook, quotas, standing
from mailstore.models import Device, Mailbox, Removal, SignIn
from tests.factories import AT, make_cast, make_mailbox
from tests.hosting.api.caller import Caller, make_key
from tests.live.test_key_races import all_at_once
from tests.mailstore.log_lines import login
from tests.staffing import signed_in

pytestmark = pytest.mark.django_db(transaction=True, databases="__all__")

ROUNDS = 6
MAILBOXES = 6


def sell_another_plan():
    """One more plan for IMAP, so that a change asks nothing of the mail server."""
    plan = Plan.objects.get(slug="imap")
    prices = list(Price.objects.filter(plan=plan))
    plan.pk, plan.slug, plan.name = None, "imap-plus", "IMAP plus"
    plan.save(force_insert=True)
    for price in prices:
        price.pk, price.plan = None, plan
        price.save(force_insert=True)


@pytest.fixture
def shop():
    """Rita's program, one customer of hers with a limit, and mailboxes of it."""
    cast = make_cast()
    sell_another_plan()
    Limits.objects.create(organisation=cast.reseller, mailboxes=100_000)
    Limits.objects.create(organisation=cast.customer, mailboxes=100_000)
    mailboxes = [make_mailbox(cast.domain, f"m{number}") for number in range(MAILBOXES)]
    return Caller(make_key(cast.reseller).secret), cast, mailboxes


def batch_of(cast, mailboxes, *, name):
    """An order, and a change of each mailbox; every other batch names them the other way round."""
    order = {
        "key": "order",
        "operation": "create_mailbox",
        "body": {
            "domain_id": public_ids.encode("dom", cast.domain.uuid),
            "local_part": name,
            "plan": "imap",
        },
    }
    changes = [
        {
            "key": str(mailbox.pk),
            "operation": "update_mailbox",
            "mailbox_id": public_ids.encode("mbx", mailbox.uuid),
            "body": {"label": name},
        }
        for mailbox in mailboxes
    ]
    return {"items": [*changes, order]}


def at_once(tmp_path, *works):
    """Each work in a process of its own; gives how often each status was answered."""

    def noted(number, work):
        statuses = [answer.status_code for answer in work()]
        (tmp_path / str(number)).write_text(json.dumps(statuses))

    endings = all_at_once(*[partial(noted, *each) for each in enumerate(works)])
    assert set(endings) == {0}
    return Counter(status for path in tmp_path.iterdir() for status in json.loads(path.read_text()))


def test_batches_and_changes_of_plans_end_without_a_ring(shop, tmp_path, counts):
    caller, cast, mailboxes = shop

    def batches(worker):
        named = mailboxes if worker % 2 else mailboxes[::-1]
        for turn in range(ROUNDS):
            yield caller.post("/batch", batch_of(cast, named, name=f"w{worker}t{turn}"))

    def plans(worker):
        path = f"/mailboxes/{public_ids.encode('mbx', mailboxes[worker].uuid)}/change-plan"
        for turn in range(ROUNDS):
            plan = "imap" if turn % 2 else "imap-plus"
            yield caller.post(path, {"plan": plan}, if_match="*")

    works = [partial(kind, worker) for worker in range(4) for kind in (batches, plans)]
    told = at_once(tmp_path, *works)

    counts(calls=sum(told.values()))
    assert told == {200: len(works) * ROUNDS}


def test_batches_and_stops_of_the_seller_end_without_a_ring(shop, tmp_path, counts):
    caller, cast, mailboxes = shop
    actor = system("tests")
    # Rows that were written again lie elsewhere in the table, so a scan meets them later.
    for mailbox in mailboxes[: MAILBOXES // 2]:
        mailbox.save()

    def batches(worker):
        for turn in range(ROUNDS):
            items = batch_of(cast, mailboxes, name=f"w{worker}t{turn}")["items"][:-1]
            yield caller.post("/batch", {"items": items})

    def stops():
        for turn in range(ROUNDS):
            stopped = {"actor": actor, "organisation": cast.reseller, "cause": "abuse", "at": AT}
            standing.impose(
                **stopped, state="past_due", stops={"sign_in_below": "shut"}, reason="A race"
            )
            standing.lift(**stopped, reason="Over")
            yield caller.get(f"/mailboxes?limit={turn + 1}")

    works = [*[partial(batches, worker) for worker in range(4)], stops]
    told = at_once(tmp_path, *works)

    counts(calls=sum(told.values()))
    assert told == {200: len(works) * ROUNDS}


def test_revoking_beside_locking_out_ends_without_a_ring(shop, tmp_path, counts):
    _caller, cast, mailboxes = shop
    actor = system("tests")
    made = [
        credentials.issue(actor=actor, mailbox=mailbox, label="Phone", at=AT).app_password
        for mailbox in mailboxes
    ]
    seen = {"protocol": "imap", "last_address": "192.0.2.7", "first_at": AT, "last_at": AT}
    found = [
        Device.objects.create(mailbox=each.mailbox, credential=each.uuid.hex, **seen)
        for each in made
    ]
    alice = Caller(make_key(cast.customer).secret)
    start = time.time() + 5

    def revokes():
        for turn, each in enumerate(made):
            path = f"/mailboxes/{public_ids.encode('mbx', each.mailbox.uuid)}/app-passwords"
            meet(start, turn)
            yield alice.delete(f"{path}/{public_ids.encode('pwd', each.uuid)}", if_match="*")

    def lock_outs():
        for turn, each in enumerate(found):
            meet(start, turn)
            devices.lock_out(actor=actor, device=each, at=AT)
            yield alice.get("/plans")

    told = at_once(tmp_path, *[revokes, lock_outs] * 4)

    counts(calls=sum(told.values()))
    assert told == {200: 8 * MAILBOXES}


def test_reading_the_log_beside_a_new_rule_ends_without_a_ring(shop, tmp_path, counts):
    """The log names mailboxes as they were used, a rule reaches them by their keys."""
    _caller, cast, _mailboxes = shop
    used = [make_mailbox(cast.domain, f"used{number}") for number in range(100)][::-1]
    log = tmp_path / "dovecot.log"

    def read_log():
        for turn in range(ROUNDS):
            lines = [removal(mailbox, uid=turn + 1) for mailbox in used]
            log.write_text(log.read_text() + "".join(lines) if turn else "".join(lines))
            assert logbook.read(path=log) == len(used)

    def ask_for_looks():
        for _turn in range(ROUNDS * 20):
            with transaction.atomic():
                due.ask_for_look([mailbox.pk for mailbox in used])

    endings = all_at_once(read_log, ask_for_looks, ask_for_looks)

    counts(removals=Removal.objects.count())
    assert set(endings) == {0}
    assert set(Removal.objects.values_list("messages", flat=True)) == {ROUNDS}


def test_noting_sign_ins_beside_a_new_rule_ends_without_a_ring(shop, tmp_path, counts):
    """A row of a sign-in points to its mailbox, which whoever sets a rule has locked."""
    _caller, cast, _mailboxes = shop
    used = [make_mailbox(cast.domain, f"used{number}") for number in range(100)]
    log = tmp_path / "dovecot.log"
    log.touch()

    def read_log():
        for turn in range(ROUNDS):
            # The reader locks the mailbox with the highest key alone.
            lines = [removal(used[-1], uid=turn + 1)]
            at = AT + timedelta(hours=turn + 1)
            moment = {"day": f"{at:%Y-%m-%d}", "at": f"{at:%H:%M:%S}"}
            lines += [login(user=mailbox.address, **moment) for mailbox in reversed(used)]
            with log.open("a") as out:
                out.writelines(lines)
            logbook.read(path=log)

    def ask_for_looks():
        for _turn in range(ROUNDS * 20):
            with transaction.atomic():
                due.ask_for_look([mailbox.pk for mailbox in used])

    endings = all_at_once(read_log, ask_for_looks, ask_for_looks)

    counts(sign_ins=SignIn.objects.count())
    assert set(endings) == {0}
    assert SignIn.objects.count() == ROUNDS * len(used)


def test_the_end_of_grace_beside_a_new_rule_ends_without_a_ring(shop, counts):
    _caller, cast, _mailboxes = shop
    full = [make_mailbox(cast.domain, f"full{number}") for number in range(100)]
    turns = ROUNDS * 4

    def end_grace():
        for _turn in range(turns):
            # Rows that were written again lie elsewhere in the table: here the last ones first.
            for mailbox in full[::-1]:
                written = Mailbox.objects.filter(pk=mailbox.pk)
                written.update(full_since=AT, refuses_when_full=False)
            assert quotas.end_grace(grace=timedelta(0), at=AT) == len(full)

    def ask_for_looks():
        for _turn in range(turns * 20):
            with transaction.atomic():
                due.ask_for_look([mailbox.pk for mailbox in full])

    endings = all_at_once(end_grace, ask_for_looks, ask_for_looks)

    counts(refusing=Mailbox.objects.filter(refuses_when_full=True).count())
    assert set(endings) == {0}


def removal(mailbox, *, uid):
    """What Dovecot logs when a program expunges a message."""
    return (
        f"{AT:%Y-%m-%dT%H:%M:%S} imap({mailbox.address})<12><s1><192.0.2.7><->: Info: "
        f"copy from INBOX: box=.EXPUNGED/INBOX, uid={uid}, size=100\n"
    )


def meet(start, turn):
    """Wait for a moment at which the others come to the same mailbox."""
    time.sleep(max(0, start + turn / 2 - time.time()))


def test_limits_from_above_beside_changes_of_plans_end_without_a_ring(shop, tmp_path, counts):
    """A change of the plan takes the limits and then the organisation; so does who sets limits."""
    caller, cast, mailboxes = shop
    customer = f"/organisations/{public_ids.encode('org', cast.customer.uuid)}"
    page = f"/customers/{cast.customer.uuid}/edit"
    rita = Client(raise_request_exception=False)
    signed_in(cast.rita, rita)

    def limits_by_programs():
        for turn in range(ROUNDS * 2):
            asked = {"name": f"Turn {turn}", "limits": {"mailbox_count": 90_000 + turn}}
            yield caller.patch(customer, asked, if_match="*")

    def limits_by_page():
        for turn in range(ROUNDS * 2):
            yield rita.post(page, {"name": f"Page {turn}", "mailboxes": 80_000 + turn}, follow=True)

    def plans(worker):
        path = f"/mailboxes/{public_ids.encode('mbx', mailboxes[worker].uuid)}/change-plan"
        for turn in range(ROUNDS):
            plan = "imap" if turn % 2 else "imap-plus"
            yield caller.post(path, {"plan": plan}, if_match="*")

    changes = [partial(plans, worker) for worker in range(MAILBOXES)]
    told = at_once(tmp_path, limits_by_programs, limits_by_page, *changes)

    counts(calls=sum(told.values()))
    assert told == {200: (len(changes) + 4) * ROUNDS}
