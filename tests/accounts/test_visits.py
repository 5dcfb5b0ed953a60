"""Acting in a customer: who may, what it narrows, what it leaves behind, and how it ends."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta

import pytest
from django.db import IntegrityError, transaction
from django.test import Client
from django.utils import timezone

from accounts import visits
from accounts.access import ActorKind, Capability, Forbidden
from accounts.models import Event, Membership, Organisation, Visit
from mailstore.models import Domain
from tests.factories import AT, make_domain, make_mailbox, make_member
from tests.hosting.crowd import make_sibling
from tests.staffing import signed_in

pytestmark = pytest.mark.django_db(databases="__all__")


def begin(cast, user=None, organisation=None, reason="Set up a phone", at=AT):
    return visits.begin(
        actor=cast.actor(user or cast.rita),
        organisation=organisation or cast.customer,
        reason=reason,
        at=at,
    )


@pytest.fixture
def guest(cast):
    """Rita's browser, which acts in Alder."""
    client = Client()
    signed_in(cast.rita, client)
    answer = client.post(f"/customers/{cast.customer.uuid}/enter", {"reason": "Set up a phone"})
    assert answer.headers["Location"] == "/overview/"
    return client


def told():
    return list(Event.objects.exclude(visit=None).order_by("seq").values_list("kind", flat=True))


# Who may --------------------------------------------------------------------------------


@pytest.mark.parametrize("person", ["rita", "sam"])
def test_whoever_stands_above_acts_in_a_customer(cast, person):
    visit = begin(cast, getattr(cast, person))

    assert visit.person == f"{person}@example.test"
    assert visit.seller == "Rowan"
    assert visit.ends_at == AT + timedelta(hours=1)
    assert told() == ["access.begun"]


@pytest.mark.parametrize("person", ["alice", "bob", "charlie"])
def test_nobody_else_does(cast, person):
    with pytest.raises(Forbidden):
        begin(cast, getattr(cast, person))


@pytest.mark.parametrize("role", [Membership.Role.BILLING, Membership.Role.READ_ONLY])
def test_a_role_without_mail_does_not(cast, role):
    user = make_member("rob@example.test", cast.reseller, role)

    with pytest.raises(Forbidden):
        begin(cast, user)


def test_a_sibling_reseller_does_not(cast):
    _reseller, sven = make_sibling(cast)

    with pytest.raises(Forbidden):
        begin(cast, sven)


def test_nobody_acts_in_a_reseller_or_by_a_key(cast):
    key = replace(cast.actor(cast.rita), kind=ActorKind.API_KEY)

    with pytest.raises(visits.Refused):
        begin(cast, cast.sam, cast.reseller)
    with pytest.raises(visits.Refused):
        visits.begin(actor=key, organisation=cast.customer, reason="x", at=AT)


@pytest.mark.parametrize("reason", ["", "  ", "\n\t"])
def test_a_reason_is_needed(cast, reason):
    with pytest.raises(visits.Refused):
        begin(cast, reason=reason)


def test_a_reason_is_kept_as_one_line_that_fits(cast):
    assert begin(cast, reason="new\nphone " + "x" * 400).reason == ("new phone " + "x" * 290)


def test_a_visit_ends_after_it_began_in_the_database_too(cast):
    visit = begin(cast)

    with pytest.raises(IntegrityError), transaction.atomic():
        Visit.objects.filter(pk=visit.pk).update(ends_at=AT)


# What it narrows ------------------------------------------------------------------------


def test_a_guest_has_a_role_in_one_customer_alone(cast):
    guest = visits.acting(cast.actor(cast.rita), begin(cast))

    assert dict(guest.roles) == {cast.customer.pk: "visitor"}
    assert guest.seller_ids == frozenset()
    assert guest.name == "rita@example.test"


def test_staff_are_no_staff_meanwhile(cast):
    guest = visits.acting(cast.actor(cast.sam), begin(cast, cast.sam))

    assert not guest.is_staff
    assert [o.name for o in Organisation.objects.visible_to(guest)] == ["Alder"]


def test_an_admin_comes_as_an_admin(cast):
    user = make_member("rob@example.test", cast.reseller, Membership.Role.ADMIN)

    guest = visits.acting(cast.actor(user), begin(cast, user))

    assert dict(guest.roles) == {cast.customer.pk: "admin"}
    assert not guest.can(Capability.SEE_BILLS, lineage=(cast.customer.pk,))


@pytest.mark.parametrize("capability", [Capability.MANAGE_KEYS, Capability.MANAGE_BILLS])
def test_a_guest_leaves_no_keys_and_no_caps_behind(cast, capability):
    guest = visits.acting(cast.actor(cast.rita), begin(cast))

    assert not guest.can(capability, lineage=cast.customer.lineage)


def test_whoever_loses_the_role_above_is_nobody_there(cast):
    visit = begin(cast)
    Membership.objects.filter(user=cast.rita).delete()

    guest = visits.acting(cast.actor(cast.rita), visit)

    assert not guest.roles
    assert not Organisation.objects.visible_to(guest).exists()


def test_other_customers_are_absent_for_a_guest(cast, guest):
    other = Organisation.objects.create(kind="customer", name="Hazel", parent=cast.reseller)
    hidden = make_mailbox(make_domain("hazel.test", other))
    shown = make_mailbox(cast.domain)

    assert guest.get(f"/mailboxes/{shown.uuid}/set-up").status_code == 200
    assert guest.get(f"/mailboxes/{hidden.uuid}/set-up").status_code == 404
    assert guest.get("/customers/").status_code == 404
    assert guest.get(f"/customers/{cast.customer.uuid}/").status_code == 404
    assert guest.get(f"/billing/{cast.reseller.uuid}/").status_code == 404


def test_every_page_says_where_a_guest_is(cast, guest):
    for path in ("/overview/", "/domains/", "/rules/", "/changes/", "/access/"):
        page = guest.get(path).content.decode()

        assert "You act in Alder" in page, path
        assert "Leave Alder" in page, path


def test_no_staff_page_opens_meanwhile(cast, staff):
    staff.post(f"/customers/{cast.customer.uuid}/enter", {"reason": "A call"})

    assert staff.get("/staff/").status_code == 403
    staff.post("/customers/leave")
    assert staff.get("/staff/").status_code == 200


# What it leaves behind ------------------------------------------------------------------


def test_what_a_guest_does_names_the_person_and_the_visit(cast, guest):
    guest.post("/domains/add", {"name": "new.test", "organisation": str(cast.customer.uuid)})

    event = Event.objects.get(kind="domain.added", subject_name="new.test")
    assert event.actor_name == "rita@example.test"
    assert event.visit == Visit.objects.get()
    assert event.visit.organisation == cast.customer


def test_what_is_done_outside_a_visit_names_none(cast):
    make_mailbox(cast.domain)

    assert told() == []


def test_the_customer_reads_who_was_there_and_what_they_did(cast, guest):
    guest.post("/domains/add", {"name": "new.test", "organisation": str(cast.customer.uuid)})
    guest.post("/customers/leave")
    alice = Client()
    signed_in(cast.alice, alice)

    page = alice.get("/access/").content.decode()

    assert "rita@example.test" in page
    assert "Rowan: Set up a phone" in page
    assert "The domain new.test was added." in page


def test_another_customer_reads_nothing_of_it(cast, guest):
    charlie = Client()
    signed_in(cast.charlie, charlie)

    page = charlie.get("/access/").content.decode()

    assert "Nobody yet" in page
    assert "Set up a phone" not in page


@pytest.mark.parametrize("count", [1, 3])
def test_the_list_of_visits_asks_a_fixed_number_of_queries(cast, count, django_assert_num_queries):
    for number in range(count):
        begin(cast, at=AT + timedelta(hours=number))
    alice = Client()
    signed_in(cast.alice, alice)

    with django_assert_num_queries(6):
        alice.get("/access/")


def test_visits_are_paged(cast):
    for number in range(25):
        begin(cast, reason=f"Call {number:02}")
    alice = Client()
    signed_in(cast.alice, alice)

    first = alice.get("/access/")
    second = alice.get("/access/", {"after": first.context["next_after"]})
    odd = alice.get("/access/", {"after": "9" * 40})

    assert [len(p.context["visits"]) for p in (first, second, odd)] == [20, 5, 20]
    assert second.context["visits"][-1]["reason"] == "Call 00"


def test_a_visit_with_many_changes_shows_the_first_of_them(cast, guest):
    for number in range(25):
        name = f"d{number}.test"
        guest.post("/domains/add", {"name": name, "organisation": str(cast.customer.uuid)})

    (visit,) = guest.get("/access/").context["visits"]

    assert len(visit["changes"]) == 20
    assert visit["has_more"]


# How it ends ----------------------------------------------------------------------------


def test_leaving_ends_it_once(cast, guest):
    visit = Visit.objects.get()

    answer = guest.post("/customers/leave")

    visit.refresh_from_db()
    assert answer.headers["Location"] == f"/customers/{cast.customer.uuid}/"
    assert visit.ended_at is not None
    assert not visits.end(visit=visit, at=AT)
    assert guest.get("/customers/").status_code == 200
    assert told() == ["access.begun", "access.ended"]


def test_leaving_without_a_visit_harms_nothing(cast):
    rita = Client()
    signed_in(cast.rita, rita)

    assert rita.post("/customers/leave").headers["Location"] == "/overview/"


def test_a_form_of_another_tab_is_sent_for_nobody_else_than_it_was_opened_for(cast):
    rita = Client(enforce_csrf_checks=True)
    signed_in(cast.rita, rita)

    before = token_on(rita, "/domains/")
    asked = {"reason": "Set up a phone", "csrfmiddlewaretoken": before}
    assert rita.post(f"/customers/{cast.customer.uuid}/enter", asked).status_code == 302
    meant_for_herself = {"name": "hers.test", "csrfmiddlewaretoken": before}
    assert rita.post("/domains/add", meant_for_herself).status_code == 403

    meanwhile = token_on(rita, "/domains/")
    assert rita.post("/customers/leave", {"csrfmiddlewaretoken": meanwhile}).status_code == 302
    meant_for_alder = {"name": "alders.test", "csrfmiddlewaretoken": meanwhile}
    assert rita.post("/domains/add", meant_for_alder).status_code == 403

    assert not Domain.objects.filter(name__in=["hers.test", "alders.test"]).exists()


def token_on(client, path):
    page = client.get(path).content.decode()
    return re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page).group(1)


def test_signing_out_ends_it(guest):
    guest.post("/account/sign-out")

    assert Visit.objects.get().ended_at is not None
    assert told()[-1] == "access.ended"


def test_an_hour_ends_it_and_nothing_is_done_in_ones_own_name_instead(cast, guest):
    past = timezone.now() - timedelta(minutes=1)
    Visit.objects.update(begun_at=past - timedelta(hours=1), ends_at=past)

    asked = {"name": "late.test", "organisation": str(cast.customer.uuid)}
    answer = guest.post("/domains/add", asked)

    assert answer.headers["Location"] == "/overview/"
    assert not Event.objects.filter(subject_name="late.test").exists()
    assert "Your time there is over" in guest.get("/overview/").content.decode()
    assert guest.get("/customers/").status_code == 200


def test_a_fragment_loads_the_page_anew_after_the_end(guest):
    Visit.objects.update(ended_at=timezone.now())

    answer = guest.get("/overview/", headers={"HX-Request": "true"})

    assert answer.headers["HX-Refresh"] == "true"


def test_signing_out_works_after_the_end(guest):
    Visit.objects.update(ended_at=timezone.now())

    guest.post("/account/sign-out")

    assert guest.get("/overview/").status_code == 302
    assert guest.get("/overview/").headers["Location"].startswith("/account/sign-in")


def test_a_visit_belongs_to_one_person(cast, guest):
    session = guest.session
    client = Client()
    signed_in(make_member("rob@example.test", cast.reseller, Membership.Role.OWNER), client)
    stolen = client.session
    stolen[visits.SESSION_KEY] = session[visits.SESSION_KEY]
    stolen.save()

    assert client.get("/overview/").status_code == 302
    assert "You act in" not in client.get("/overview/").content.decode()


def test_the_sweep_ends_those_that_are_over_once(cast):
    over, running = begin(cast), begin(cast, at=AT + timedelta(minutes=30))

    ended = visits.end_over(at=AT + timedelta(minutes=61))
    again = visits.end_over(at=AT + timedelta(minutes=62))

    over.refresh_from_db()
    running.refresh_from_db()
    assert (ended, again) == (1, 0)
    assert over.ended_at == over.ends_at
    assert running.ended_at is None
    assert told() == ["access.begun", "access.begun", "access.ended"]


def test_the_form_asks_for_a_reason(cast):
    rita = Client()
    signed_in(cast.rita, rita)

    answer = rita.post(f"/customers/{cast.customer.uuid}/enter", {"reason": " "})

    assert answer.status_code == 422
    assert not Visit.objects.exists()
