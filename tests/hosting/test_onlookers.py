"""Whoever looks at a mailbox from above is named in the activity of its organisation."""

from __future__ import annotations

import pytest
from django.core.cache import cache
from django.urls import reverse

from accounts.models import Event
from tests.factories import make_mailbox
from tests.hosting.api.caller import Caller, make_key
from tests.staffing import MAILBOXES, signed_in

pytestmark = pytest.mark.django_db(databases="__all__")


@pytest.fixture
def mailbox(cast):
    return make_mailbox(cast.domain)


def looked():
    events = Event.objects.filter(kind="mailbox.looked_at").order_by("seq")
    return [(event.actor_name, event.organisation_id) for event in events]


@pytest.mark.parametrize("page", ["detail", "removed", "devices"])
@pytest.mark.parametrize("person", ["rita", "sam"])
def test_pages_of_mail_tell_who_came_from_above(cast, mailbox, person, page):
    browser = signed_in(getattr(cast, person))

    for _again in range(3):
        assert browser.get(reverse(f"mailboxes:{page}", args=[mailbox.uuid])).status_code == 200

    assert looked() == [(getattr(cast, person).email, cast.customer.pk)]


def test_page_of_the_staff_tells_as_well(cast, mailbox):
    assert signed_in(cast.sam).get(f"{MAILBOXES}{mailbox.pk}/change/").status_code == 200

    assert looked() == [(cast.sam.email, cast.customer.pk)]


@pytest.mark.parametrize("what", ["recoverable", "devices", "sign-ins"])
def test_program_of_a_reseller_is_named_too(cast, mailbox, what):
    program = Caller(make_key(cast.reseller).secret)
    (one,) = program.get(f"/mailboxes?address={mailbox.address}").json()["items"]

    # The mail server's twin keeps no removed mail for this one, and says so.
    assert program.get(f"/mailboxes/{one['id']}/{what}").status_code in {200, 503}

    assert [organisation for _name, organisation in looked()] == [cast.customer.pk]


def test_members_look_at_their_own_without_a_word(cast, mailbox):
    for page in ("detail", "removed", "devices"):
        signed_in(cast.alice).get(reverse(f"mailboxes:{page}", args=[mailbox.uuid]))

    assert looked() == []


def test_each_onlooker_is_named_and_each_hour_anew(cast, mailbox):
    where = reverse("mailboxes:detail", args=[mailbox.uuid])
    signed_in(cast.rita).get(where)
    signed_in(cast.sam).get(where)
    # The hour is over.
    cache.clear()
    signed_in(cast.rita).get(where)

    names = [cast.rita.email, cast.sam.email, cast.rita.email]
    assert [name for name, _organisation in looked()] == names


def test_customer_reads_it_in_the_activity(cast, mailbox):
    signed_in(cast.rita).get(reverse("mailboxes:detail", args=[mailbox.uuid]))

    page = signed_in(cast.alice).get("/activity/").content.decode()

    assert "Somebody from above looked at the mailbox." in page


def test_program_of_a_reseller_is_from_above_though_its_key_is_for_one_customer(cast, mailbox):
    program = Caller(make_key(cast.reseller, only_for=(cast.customer,)).secret)
    (one,) = program.get("/mailboxes").json()["items"]

    program.get(f"/mailboxes/{one['id']}/devices")

    assert [organisation for _name, organisation in looked()] == [cast.customer.pk]
