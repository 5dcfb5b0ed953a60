"""Staff see names and looks of resellers, and end their misuse."""

from __future__ import annotations

import pytest
from django.test import Client

from accounts.models import Event
from hosting.models import Brand, PanelHost
from tests.hosting.brand_rows import HOST, make_brand, make_host
from tests.staffing import act, said, signed_in

pytestmark = pytest.mark.django_db(databases="__all__")
BRANDS, HOSTS = "/staff/hosting/brand/", "/staff/hosting/panelhost/"


def test_lists_and_pages_say_how_things_stand(staff, cast):
    brand = make_brand(cast.reseller)
    host = make_host(cast.reseller, problem="no_proof")

    assert "Rowan Post" in staff.get(BRANDS).content.decode()
    assert "help@rowan.test" in staff.get(f"{BRANDS}{brand.pk}/change/").content.decode()
    assert "The TXT record is missing" in staff.get(HOSTS).content.decode()
    assert host.proof_text in staff.get(f"{HOSTS}{host.pk}/change/").content.decode()


def test_host_name_is_taken_away_for_a_reason(staff, cast):
    host = make_host(cast.reseller)

    asked = act(staff, "take_away", host, path=HOSTS)
    act(staff, "take_away", host, path=HOSTS, confirmed="yes", reason="")
    assert "The panel stops answering" in asked.content.decode()
    assert PanelHost.objects.exists()
    done = act(staff, "take_away", host, path=HOSTS, confirmed="yes", reason="Phishing.")

    assert said(done) == ["Host names that were taken away: 1."]
    assert not PanelHost.objects.exists()
    fact = Event.objects.get(kind="panel_host.taken_away")
    assert (fact.subject_name, fact.actor_name, fact.data) == (
        HOST,
        "sam@example.test",
        {"reason": "Phishing."},
    )


def test_look_of_the_house_is_put_back(staff, cast):
    brand = make_brand(cast.reseller)

    done = act(staff, "put_back", brand, path=BRANDS, confirmed="yes")

    assert said(done) == ["Resellers that show the house's look now: 1."]
    assert not Brand.objects.exists()


def test_staff_without_the_right_do_neither(cast):
    client = Client()
    signed_in(cast.rita, client)

    assert client.get(BRANDS).status_code == 302
    assert client.get(HOSTS).status_code == 302
