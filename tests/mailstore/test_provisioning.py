from __future__ import annotations

from datetime import timedelta

import pytest

from accounts.access import Forbidden, system
from accounts.models import Event, Setback
from hosting.models import Plan
from mailstore import closing, credentials, provisioning
from mailstore.addresses import InvalidAddress
from mailstore.models import AppPassword, Domain, LastLogin, Mailbox, Usage
from mailstore.models.mailboxes import SPECIAL_FOLDERS
from tests.corpus import HOSTILE_LOCAL_PARTS
from tests.factories import AT, make_domain, make_mailbox

pytestmark = pytest.mark.django_db(databases=["default", "reports"])


def open_hello(cast, **changes):
    asked = {
        "actor": cast.actor(cast.alice),
        "domain": cast.domain,
        "local_part": "hello",
        "protocol": "imap",
        "quota_bytes": 10**9,
        "window_days": 30,
        "at": AT,
    }
    return provisioning.open_mailbox(**{**asked, **changes})


def test_open_mailbox_waits_to_be_prepared_and_says_so(cast):
    mailbox = open_hello(cast)

    assert (mailbox.address, mailbox.state) == ("hello@alder.test", "pending")
    event = Event.objects.get(kind="mailbox.created")
    assert (event.subject_id, event.actor_name) == (str(mailbox.uuid), "alice@example.test")


@pytest.mark.parametrize("local_part", HOSTILE_LOCAL_PARTS)
def test_open_mailbox_refuses_hostile_names(cast, local_part):
    with pytest.raises(InvalidAddress):
        open_hello(cast, local_part=local_part)

    assert not Mailbox.objects.exists()


def test_open_mailbox_refuses_a_taken_address_however_it_is_written(cast):
    open_hello(cast)

    with pytest.raises(provisioning.AddressTaken):
        open_hello(cast, local_part="HELLO")

    assert Mailbox.objects.count() == 1
    assert Event.objects.filter(kind="mailbox.created").count() == 1


def test_open_mailbox_keeps_reserved_names_for_staff(cast):
    with pytest.raises(InvalidAddress):
        open_hello(cast, local_part="postmaster")

    assert open_hello(cast, local_part="postmaster", actor=cast.actor(cast.sam)).pk


def test_open_mailbox_needs_a_confirmed_domain(cast):
    waiting = make_domain("alder.example", cast.customer)

    with pytest.raises(provisioning.DomainNotConfirmed):
        open_hello(cast, domain=waiting)

    assert waiting.state == Domain.State.WAITING


@pytest.mark.parametrize("name", ["bob", "charlie"])
def test_open_mailbox_needs_a_role_that_allows_it(cast, name):
    with pytest.raises(Forbidden):
        open_hello(cast, actor=cast.actor(getattr(cast, name)))


@pytest.mark.parametrize("name", ["rita", "sam"])
def test_open_mailbox_is_open_to_those_above(cast, name):
    assert open_hello(cast, actor=cast.actor(getattr(cast, name))).pk


def test_prepare_makes_special_folders_for_imap_only(cast, twin):
    imap = make_mailbox(cast.domain, "hello", "imap", is_ready=False)
    pop = make_mailbox(cast.domain, "till", "pop", is_ready=False)
    for mailbox in (imap, pop):
        twin.know(mailbox.address)

    assert provisioning.prepare_pending(engine=twin, at=AT) == 2

    assert set(twin.accounts[imap.address].folders) == {"INBOX", *SPECIAL_FOLDERS}
    assert set(twin.accounts[pop.address].folders) == {"INBOX"}
    assert set(Mailbox.objects.values_list("state", flat=True)) == {"active"}


def test_prepare_pending_waits_for_a_mail_server_that_is_down(cast, twin):
    mailbox = make_mailbox(cast.domain, is_ready=False)
    twin.know(mailbox.address)
    twin.is_down = True

    assert provisioning.prepare_pending(engine=twin, at=AT) == 0
    twin.is_down = False
    assert provisioning.prepare_pending(engine=twin, at=AT) == 1


def test_prepare_pending_is_not_held_up_by_one_that_fails(cast, twin):
    make_mailbox(cast.domain, "unknown", is_ready=False)
    fine = make_mailbox(cast.domain, "fine", is_ready=False)
    twin.know(fine.address)

    assert provisioning.prepare_pending(engine=twin, at=AT) == 1


def test_one_that_fails_waits_and_leaves_its_turn_to_the_next(cast, twin):
    unknown = make_mailbox(cast.domain, "unknown", is_ready=False)
    twin.know(make_mailbox(cast.domain, "fine", is_ready=False).address)

    assert provisioning.prepare_pending(engine=twin, at=AT, limit=1) == 0
    assert provisioning.prepare_pending(engine=twin, at=AT, limit=1) == 1

    setback = Setback.objects.get()
    assert (setback.name, setback.organisation) == (unknown.address, cast.customer)
    twin.know(unknown.address)
    later = AT + timedelta(minutes=2)
    assert provisioning.prepare_pending(engine=twin, at=AT) == 0
    assert provisioning.prepare_pending(engine=twin, at=later) == 1
    assert not Setback.objects.exists()


def test_suspend_ends_sessions_and_resume_allows_them(cast, twin):
    mailbox = make_mailbox(cast.domain)
    twin.know(mailbox.address).sessions = 2
    actor = cast.actor(cast.alice)

    provisioning.suspend(actor=actor, mailbox=mailbox, at=AT)
    assert provisioning.end_due_sessions(engine=twin, at=AT + timedelta(seconds=5)) == 1

    assert twin.accounts[mailbox.address].sessions == 0
    mailbox.refresh_from_db()
    assert (mailbox.state, mailbox.sessions_end_asked_at) == ("suspended", None)
    provisioning.resume(actor=actor, mailbox=mailbox, at=AT)
    assert mailbox.state == "pending"


def test_end_sessions_keeps_a_wish_that_came_meanwhile(cast, twin):
    mailbox = make_mailbox(cast.domain)
    provisioning.suspend(actor=cast.actor(cast.alice), mailbox=mailbox, at=AT)
    later = AT + timedelta(seconds=1)
    Mailbox.objects.filter(pk=mailbox.pk).update(sessions_end_asked_at=later)

    provisioning.end_sessions(mailbox=mailbox, engine=twin, at=AT + timedelta(minutes=1))

    mailbox.refresh_from_db()
    assert mailbox.sessions_end_asked_at == later


def test_who_is_let_in_at_the_moment_of_the_wish_is_found_a_little_later(cast, twin):
    mailbox = make_mailbox(cast.domain)
    account = twin.know(mailbox.address)
    provisioning.suspend(actor=cast.actor(cast.alice), mailbox=mailbox, at=AT)
    left = []

    for seconds in (0, 4, 14):
        account.sessions = 1
        provisioning.end_due_sessions(engine=twin, at=AT + timedelta(seconds=seconds))
        left.append(account.sessions)

    assert left == [0, 0, 0]
    assert provisioning.end_due_sessions(engine=twin, at=AT + timedelta(seconds=24)) == 0


def test_wish_from_before_the_clock_was_set_back_is_done_once(cast, twin):
    mailbox = make_mailbox(cast.domain)
    twin.know(mailbox.address)
    provisioning.suspend(actor=cast.actor(cast.alice), mailbox=mailbox, at=AT)

    before = AT - timedelta(hours=1)
    assert provisioning.end_due_sessions(engine=twin, at=before) == 1
    assert provisioning.end_due_sessions(engine=twin, at=before) == 0


def test_suspend_twice_is_refused(cast):
    mailbox = make_mailbox(cast.domain)
    provisioning.suspend(actor=cast.actor(cast.alice), mailbox=mailbox, at=AT)

    with pytest.raises(provisioning.WrongState):
        provisioning.suspend(actor=cast.actor(cast.alice), mailbox=mailbox, at=AT)

    assert Event.objects.filter(kind="mailbox.suspended").count() == 1


def test_closed_mailbox_can_be_reopened_until_its_grace_is_over(cast, twin):
    mailbox = make_mailbox(cast.domain)
    actor, grace = cast.actor(cast.alice), timedelta(days=30)

    provisioning.close(actor=actor, mailbox=mailbox, grace=grace, at=AT)
    assert closing.close_for_good(actor=system("sweep"), at=AT + grace / 2) == 0
    provisioning.reopen(actor=actor, mailbox=mailbox, at=AT)

    assert (mailbox.state, mailbox.erase_after) == ("pending", None)
    assert closing.close_for_good(actor=system("sweep"), at=AT + grace * 2) == 0


def test_erasing_an_old_home_leaves_the_address_s_new_owner_alone(cast, twin):
    old = make_mailbox(cast.domain)
    actor = cast.actor(cast.alice)
    credentials.issue(actor=actor, mailbox=old, label="Phone", at=AT)
    provisioning.close(actor=actor, mailbox=old, grace=timedelta(0), at=AT)
    assert closing.close_for_good(actor=system("sweep"), at=AT) == 1
    new = make_mailbox(cast.domain)
    twin.know(new.address).folders["INBOX"].append(b"Subject: new\r\n\r\n")
    twin.know(old.tombstone)
    Usage.objects.update_or_create(username=new.address, defaults={"bytes": 16, "messages": 1})
    Usage.objects.create(username=old.tombstone, bytes=0)

    assert closing.erase_closed(engine=twin, at=AT) == 1

    assert old.tombstone not in twin.accounts
    assert twin.accounts[new.address].folders["INBOX"].raws == [b"Subject: new\r\n\r\n"]
    assert list(Usage.objects.values_list("username", flat=True)) == [new.address]
    assert not AppPassword.objects.filter(mailbox=old).exists()
    assert closing.erase_closed(engine=twin, at=AT) == 0


def test_erasing_forgets_what_dovecot_reported(cast, twin):
    mailbox = make_mailbox(cast.domain)
    Usage.objects.create(username=mailbox.address, bytes=16)
    LastLogin.objects.create(username=mailbox.address, proto="imap", device="-", address="::1")
    provisioning.close(actor=system("t"), mailbox=mailbox, grace=timedelta(0), at=AT)
    twin.know(mailbox.tombstone)
    closing.close_for_good(actor=system("t"), at=AT)

    closing.erase_closed(engine=twin, at=AT)

    assert (Usage.objects.get().bytes, LastLogin.objects.count()) == (0, 0)


def test_every_plan_on_sale_can_be_opened(cast):
    for plan in Plan.objects.on_sale():
        assert make_mailbox(cast.domain, f"box-{plan.slug}", plan.slug).protocol == plan.protocol
