"""Devices, sign-ins and people's sessions on the staff pages."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib import admin
from django.core.cache import cache
from django.urls import reverse
from django.utils import timezone

from accounts import sessions
from accounts.access import Forbidden
from accounts.models import Event, OpenSession, SignedIn
from mailstore import credentials
from mailstore.models import AppPassword, Device, Mailbox, Place, SignIn
from tests.factories import AT, make_mailbox, make_member
from tests.staffing import act, in_role, said, signed_in

pytestmark = pytest.mark.django_db(databases=["default", "reports"])

DEVICES = "/staff/mailstore/device/"
SIGN_INS = "/staff/mailstore/signin/"
SESSIONS = "/staff/accounts/signedin/"
HOME = "203.0.113.77"


@pytest.fixture(autouse=True)
def _nobody_looked_before():
    cache.clear()


@pytest.fixture
def mailbox(cast):
    return make_mailbox(cast.domain)


@pytest.fixture
def device(cast, mailbox):
    phone = credentials.issue(
        actor=cast.actor(cast.alice), mailbox=mailbox, label="Phone of Alice", at=AT
    ).app_password
    return seen(mailbox, phone.uuid.hex)


def seen(mailbox, credential="-"):
    device = Device.objects.create(
        mailbox=mailbox,
        credential=credential,
        protocol="imap",
        first_at=AT,
        last_at=AT,
        last_address=HOME,
        sign_ins=3,
    )
    Place.objects.create(
        device=device, network="203.0.0.0/16", first_at=AT, last_at=AT, last_address=HOME
    )
    SignIn.objects.create(
        mailbox=mailbox,
        hour_at=AT,
        protocol="imap",
        credential=credential,
        address=HOME,
        outcome="signed_in",
        first_at=AT,
        last_at=AT,
        sign_ins=3,
    )
    return device


def looked():
    events = Event.objects.filter(kind="mailbox.looked_at").order_by("seq")
    return [event.subject_name for event in events]


def rows(answer):
    return list(answer.context["cl"].result_list)


@pytest.mark.parametrize("path", [DEVICES, SIGN_INS])
def test_list_of_all_shows_nobodys_whereabouts_and_tells_nobody(staff, device, path):
    page = staff.get(path)

    assert len(rows(page)) == 1
    assert HOME not in page.content.decode()
    assert "Phone of Alice" not in page.content.decode()
    assert looked() == []


@pytest.mark.parametrize("path", [DEVICES, SIGN_INS])
def test_whoever_looks_for_a_mailbox_sees_from_where_and_is_named(cast, staff, device, path):
    seen(make_mailbox(cast.other_domain, "desk"))

    page = staff.get(path, {"q": "HELLO@"})

    assert [row.mailbox for row in rows(page)] == [device.mailbox]
    assert HOME in page.content.decode()
    assert looked() == ["hello@alder.test"]


def test_nobody_is_found_by_the_middle_of_an_address(staff, device):
    assert rows(staff.get(DEVICES, {"q": "alder"})) == []
    assert looked() == []


@pytest.mark.parametrize(("path", "model"), [(DEVICES, Device), (SIGN_INS, SignIn)])
def test_page_of_one_shows_from_where_and_is_told(staff, device, path, model):
    page = staff.get(f"{path}{model.objects.get().pk}/change/").content.decode()

    assert HOME in page
    assert reverse("mailboxes:sign_ins", args=[device.mailbox.uuid]) in page
    assert looked() == ["hello@alder.test"]


def test_page_of_a_device_shows_its_places(staff, device):
    assert "203.0.0.0/16" in staff.get(f"{DEVICES}{device.pk}/change/").content.decode()


def test_erased_mailbox_leads_to_no_page_of_its_owner(staff, device):
    Mailbox.objects.update(state="closed")

    page = staff.get(f"{DEVICES}{device.pk}/change/").content.decode()

    assert reverse("mailboxes:devices", args=[device.mailbox.uuid]) not in page


def test_lists_go_on_by_key(cast, staff, mailbox, monkeypatch):
    monkeypatch.setattr(admin.site._registry[Device], "list_per_page", 2)
    made = [seen(mailbox, f"{number:032}") for number in range(3)]

    first = staff.get(DEVICES, {"q": "hello"})
    second = staff.get(DEVICES + first.context["cl"].next_url)

    assert [rows(each) for each in (first, second)] == [[made[2], made[1]], [made[0]]]


@pytest.mark.parametrize("role", ["operator", "support"])
def test_staff_lock_a_device_out_as_its_owner_would(cast, mailbox, device, role):
    client = in_role(cast.sam, role)

    asked = act(client, "lock_out", device, path=DEVICES)
    assert AppPassword.objects.get().revoked_at is None
    assert HOME not in asked.content.decode()
    done = act(client, "lock_out", device, path=DEVICES, confirmed="yes")

    assert said(done) == ["Devices that are locked out now: 1."]
    assert AppPassword.objects.get().revoked_at is not None
    assert Event.objects.get(kind="device.locked_out").actor_name == cast.sam.email
    mailbox.refresh_from_db()
    assert mailbox.sessions_end_asked_at is not None


def test_staff_end_the_sessions_of_a_mailbox(cast, staff, mailbox, device):
    done = act(staff, "end_sessions", device, path=DEVICES, confirmed="yes")

    assert said(done) == ["Devices whose mailboxes have no open session now: 1."]
    assert Event.objects.get(kind="mailbox.sessions_ended").actor_name == cast.sam.email
    assert AppPassword.objects.get().revoked_at is None


def test_staff_of_the_bills_see_none_of_it(cast, device):
    client = in_role(cast.sam, "staff_billing")

    for path in (DEVICES, SIGN_INS, SESSIONS, f"{DEVICES}{device.pk}/change/"):
        assert client.get(path).status_code == 403
    assert act(client, "lock_out", device, path=DEVICES, confirmed="yes").status_code == 403
    assert AppPassword.objects.get().revoked_at is None


# People's sessions ------------------------------------------------------------------------


AGENT = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"


def browser_of(user):
    client = signed_in(user)
    row = OpenSession.objects.filter(pk=client.session.session_key)
    row.update(address="198.51.100.9", user_agent=AGENT)
    return client


def is_in(client):
    return client.get("/overview/").status_code == 200


def person(user):
    return SignedIn.objects.get(pk=user.pk)


def test_people_with_open_sessions_are_listed_and_found(cast, staff):
    browser_of(cast.alice)
    browser_of(cast.charlie)
    OpenSession.objects.filter(user=cast.charlie).update(
        seen_at=timezone.now() - timedelta(days=400)
    )

    assert rows(staff.get(SESSIONS)) == [person(cast.sam), person(cast.alice)]
    assert rows(staff.get(SESSIONS, {"q": "ALICE@"})) == [person(cast.alice)]
    assert rows(staff.get(SESSIONS, {"q": "example"})) == []


def test_sessions_of_a_person_are_shown_without_what_opens_them(cast, staff):
    key = browser_of(cast.alice).session.session_key

    page = staff.get(f"{SESSIONS}{cast.alice.pk}/change/").content.decode()

    assert "198.51.100.9" in page
    assert "Firefox on Linux" in page
    assert key not in page


@pytest.mark.parametrize("role", ["operator", "support"])
def test_all_sessions_of_a_person_end(cast, role):
    client = in_role(cast.sam, role)
    alices = [browser_of(cast.alice), browser_of(cast.alice)]

    act(client, "end_sessions", cast.alice, path=SESSIONS)
    assert all(map(is_in, alices))
    done = act(client, "end_sessions", cast.alice, path=SESSIONS, confirmed="yes")

    assert said(done) == ["People whose sessions have ended: 1."]
    assert not any(map(is_in, alices))
    [event] = Event.objects.filter(kind="user.sessions_ended_by_staff")
    assert (event.actor_name, event.organisation, event.data) == (
        cast.sam.email,
        cast.customer,
        {"sessions": 2},
    )


def test_one_session_of_a_person_ends_by_its_name(cast, staff):
    first, second = browser_of(cast.alice), browser_of(cast.alice)
    name = sessions.name_of(OpenSession.objects.get(pk=first.session.session_key))

    act(staff, "end_sessions", cast.alice, path=SESSIONS, confirmed="yes", which=name)
    again = act(staff, "end_sessions", cast.alice, path=SESSIONS, confirmed="yes", which=name)

    assert (is_in(first), is_in(second)) == (False, True)
    assert again.context["form"].errors["which"]


def test_of_several_people_all_sessions_end(cast, staff):
    browsers = [browser_of(cast.alice), browser_of(cast.charlie)]

    act(staff, "end_sessions", cast.alice, cast.charlie, path=SESSIONS, confirmed="yes")

    assert not any(map(is_in, browsers))


def test_support_ends_no_session_of_other_staff(cast):
    tess = make_member("tess@example.test", cast.provider, "operator")
    browser = signed_in(tess)
    client = in_role(cast.sam, "support")

    answer = act(client, "end_sessions", tess, path=SESSIONS, confirmed="yes")

    assert "Only operators end the sessions of other staff." in answer.content.decode()
    assert is_in(browser)
    with pytest.raises(Forbidden):
        sessions.end_by_staff(actor=cast.actor(cast.rita), user=cast.alice, at=AT)


def test_ending_nothing_is_no_fact(cast):
    assert sessions.end_by_staff(actor=cast.actor(cast.sam), user=cast.alice, at=AT) == 0
    assert not Event.objects.filter(kind="user.sessions_ended_by_staff").exists()
