from __future__ import annotations

import pytest
from django.test import Client
from django_otp.oath import totp
from django_otp.plugins.otp_totp.models import TOTPDevice

pytestmark = pytest.mark.django_db(databases=["default", "reports"])


def client_of(user):
    client = Client()
    client.force_login(user)
    return client


def code_of(device, drift=0):
    return f"{totp(device.bin_key, drift=drift):06}"


@pytest.fixture
def sam(cast):
    return client_of(cast.sam)


def enrolled(client, user):
    client.get("/account/second-factor/enrol")
    device = TOTPDevice.objects.get(user=user)
    client.post("/account/second-factor/enrol", {"code": code_of(device)})
    return TOTPDevice.objects.get(user=user)


@pytest.mark.parametrize("path", ["/staff/", "/staff/accounts/user/", "/staff/login/", "/staff/x"])
def test_staff_pages_stay_shut_without_a_second_factor(cast, sam, client, path):
    assert client.get(path).headers["Location"].startswith("/account/sign-in?next=")
    assert sam.get(path).headers["Location"].startswith("/account/second-factor?next=")


def test_first_sign_in_enrols_and_opens_the_staff_pages(cast, sam):
    response = sam.get("/account/second-factor?next=/staff/", follow=True)
    assert "second-factor/enrol" in response.request["PATH_INFO"]

    device = enrolled(sam, cast.sam)

    assert device.confirmed
    assert sam.get("/staff/").status_code == 200


def test_enrolment_shows_the_same_secret_until_it_is_confirmed(cast, sam):
    pages = [sam.get("/account/second-factor/enrol") for _ in range(2)]

    assert pages[0].context["secret_text"] == pages[1].context["secret_text"]
    assert TOTPDevice.objects.count() == 1


def test_enrolment_refuses_a_wrong_code(cast, sam):
    sam.get("/account/second-factor/enrol")

    response = sam.post("/account/second-factor/enrol", {"code": "000000"})

    assert response.context["form"].errors["code"]
    assert not TOTPDevice.objects.get().confirmed


def test_a_second_enrolment_needs_the_first_factor_s_code(cast, sam):
    enrolled(sam, cast.sam)
    thief = client_of(cast.sam)

    response = thief.get("/account/second-factor/enrol")

    assert response.headers["Location"] == "/account/second-factor"
    assert TOTPDevice.objects.count() == 1


def test_later_sign_in_asks_for_a_fresh_code(cast, sam):
    device = enrolled(sam, cast.sam)
    again = client_of(cast.sam)

    replay = again.post("/account/second-factor", {"code": code_of(device)})
    assert replay.context["form"].errors["code"]
    TOTPDevice.objects.update(throttling_failure_timestamp=None, throttling_failure_count=0)
    fresh = again.post("/account/second-factor?next=/staff/", {"code": code_of(device, drift=1)})

    assert fresh.headers["Location"] == "/staff/"
    assert again.get("/staff/").status_code == 200


def test_guessing_is_slowed_down(cast, sam):
    device = enrolled(sam, cast.sam)
    thief = client_of(cast.sam)
    thief.post("/account/second-factor", {"code": "000000"})

    response = thief.post("/account/second-factor", {"code": code_of(device, drift=1)})

    assert "Too many tries" in str(response.context["form"].errors["code"])


@pytest.mark.parametrize("code", ["12345", "1234567", "abcdef", "", "12345\n6"])
def test_code_has_six_digits(cast, sam, code):
    enrolled(sam, cast.sam)

    response = client_of(cast.sam).post("/account/second-factor", {"code": code})

    assert response.context["form"].errors["code"]


def test_second_factor_goes_to_no_other_host(cast, sam):
    sam.get("/account/second-factor/enrol")
    code = code_of(TOTPDevice.objects.get())

    response = sam.post("/account/second-factor/enrol?next=//evil.test/", {"code": code})

    assert response.headers["Location"] == "/staff/"


@pytest.mark.parametrize("path", ["/account/second-factor", "/account/second-factor/enrol"])
def test_customers_have_nothing_to_do_there(cast, path):
    assert client_of(cast.alice).get(path).status_code == 403
