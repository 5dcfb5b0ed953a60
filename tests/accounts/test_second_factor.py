"""Proving and enrolling an app, as pages do it; what is asked of whom stands in test_access."""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta
from urllib.parse import quote

import pytest
from django.contrib.sessions.models import Session
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts import lost_links, sealing, signing_in
from accounts.models import (
    Authenticator,
    Event,
    FactorLoss,
    KnownAddress,
    Notice,
    RecoveryCode,
)
from accounts.second_factor import authenticators, recovery_codes, telling, tries
from tests.factories import AT, PASSWORD
from tests.hosting.brand_rows import make_brand
from tests.staffing import SECRET, by_password_alone, signed_in, stale, verified

pytestmark = pytest.mark.django_db(databases=["default", "reports"])

VERIFY, ENROL = "/account/second-factor/", "/account/second-factor/enrol"
PASSWORD_AGAIN = "/account/second-factor/password"
DEVICES = "/account/security/second-factor/"
CODES = "/account/security/second-factor/codes"


def now_code(secret=SECRET, steps=0):
    moment = timezone.now() + timedelta(seconds=steps * authenticators.STEP_SECONDS)
    return authenticators.code_at(secret, at=moment)


def secret_of(user):
    return sealing.open_sealed(Authenticator.objects.get(user=user).sealed_secret)


def just_came_in(user):
    """Past the password a moment ago, and without a second factor."""
    client = Client()
    client.post("/account/sign-in", {"username": user.email, "password": PASSWORD})
    return client


def enrol(client, user):
    client.get(ENROL)
    return client.post(ENROL, {"code": now_code(secret_of(user)), "name": "Phone"})


@pytest.fixture
def alice(cast):
    """She has an app, and this browser knows her password alone."""
    authenticators.give(cast.alice, secret=SECRET)
    return by_password_alone(cast.alice)


# Enrolling ------------------------------------------------------------------------------


def test_first_sign_in_enrols_and_opens_the_staff_pages(cast):
    sam = just_came_in(cast.sam)
    page = sam.get("/staff/", follow=True)
    assert page.request["PATH_INFO"] == ENROL

    answer = enrol(sam, cast.sam)

    assert answer.headers["Location"].startswith(CODES)
    assert Authenticator.objects.get().confirmed
    assert sam.get("/staff/").status_code == 200


def test_enrolment_shows_the_same_secret_until_it_is_confirmed(cast):
    sam = just_came_in(cast.sam)

    pages = [sam.get(ENROL) for _ in range(2)]

    assert pages[0].context["secret_text"] == pages[1].context["secret_text"]
    assert Authenticator.objects.count() == 1


def test_secret_is_sealed_in_the_table(cast):
    sam = just_came_in(cast.sam)
    shown = sam.get(ENROL).context["secret_text"]

    stored = Authenticator.objects.values_list("sealed_secret", flat=True).get()

    assert shown not in stored
    assert secret_of(cast.sam).hex() not in stored


def test_a_secret_under_a_lost_key_opens_nothing_and_fails_nothing(alice, cast, settings):
    settings.SECRET_KEY = "another one"
    settings.SECRET_KEY_FALLBACKS = []

    assert not authenticators.spend(Authenticator.objects.get(), code=now_code(), at=timezone.now())


@pytest.mark.parametrize("form", [{"code": "000000", "name": "x"}, {"code": "12345", "name": "x"}])
def test_enrolment_refuses_a_wrong_code(form, cast):
    sam = just_came_in(cast.sam)
    sam.get(ENROL)

    response = sam.post(ENROL, form)

    assert response.context["form"].errors["code"]
    assert not Authenticator.objects.get().confirmed


@pytest.mark.parametrize("name", ["", " ", "a\u202eb", "x" * 65])
def test_a_device_has_a_name_that_can_be_read(name, cast):
    sam = just_came_in(cast.sam)
    sam.get(ENROL)

    response = sam.post(ENROL, {"code": now_code(secret_of(cast.sam)), "name": name})

    assert response.context["form"].errors["name"]
    assert not Authenticator.objects.get().confirmed


def test_an_open_session_alone_enrols_nothing(cast):
    sam = by_password_alone(cast.sam)

    for answer in (sam.get(ENROL), sam.post(ENROL, {"code": "000000", "name": "x"})):
        assert answer.headers["Location"].startswith(PASSWORD_AGAIN)
    refused = sam.post(PASSWORD_AGAIN, {"password": PASSWORD.upper()})

    assert refused.context["form"].errors["password"]
    assert not Authenticator.objects.exists()


def test_guessing_the_password_of_an_open_session_is_slowed_down(cast):
    sam = by_password_alone(cast.sam)
    for _ in range(5):
        sam.post(PASSWORD_AGAIN, {"password": "wrong"})

    answer = sam.post(PASSWORD_AGAIN, {"password": PASSWORD})

    assert answer.status_code == 429
    assert "Too many tries" in str(answer.context["form"].errors)


def test_who_has_a_factor_adds_another_with_the_first_one_only(alice, cast):
    assert alice.get(ENROL).headers["Location"].startswith(VERIFY)
    assert alice.get(PASSWORD_AGAIN).headers["Location"].startswith(VERIFY)

    inside = verified(cast.alice)
    inside.get(ENROL)
    second = Authenticator.objects.get(confirmed=False)
    code = now_code(sealing.open_sealed(second.sealed_secret))
    answer = inside.post(ENROL, {"code": code, "name": "Tablet"})

    assert answer.headers["Location"] == DEVICES
    assert [each.name for each in Authenticator.objects.order_by("pk")] == [
        "Authenticator app",
        "Tablet",
    ]


def test_code_that_enrolled_an_app_opens_nothing_more(cast):
    sam = just_came_in(cast.sam)
    enrol(sam, cast.sam)

    again = by_password_alone(cast.sam).post(VERIFY, {"code": now_code(secret_of(cast.sam))})

    assert again.context["form"].errors["code"]


def test_enrolling_is_told_to_the_person_and_noted(cast):
    enrol(just_came_in(cast.alice), cast.alice)

    assert [
        (each.to, each.name, each.context["what"])
        for each in Notice.objects.filter(name="second_factor")
    ] == [(cast.alice.email, "second_factor", "added")]
    fact = Event.objects.get(kind="second_factor.added")
    assert (fact.organisation, fact.subject_name) == (cast.customer, cast.alice.email)
    assert fact.data == {"name": "Phone"}


def enrol_again(client):
    """Another app for somebody who is in."""
    client.get(ENROL)
    waiting = Authenticator.objects.get(confirmed=False)
    code = now_code(sealing.open_sealed(waiting.sealed_secret))
    return client.post(ENROL, {"code": code, "name": "Tablet"})


# Proving --------------------------------------------------------------------------------


def test_later_sign_in_asks_for_a_fresh_code(alice):
    code = now_code()

    answer = alice.post(f"{VERIFY}?next=/domains/", {"code": code})
    replay = by_password_alone(Authenticator.objects.get().user).post(VERIFY, {"code": code})

    assert answer.headers["Location"] == "/domains/"
    assert alice.get("/domains/").status_code == 200
    assert "work once" in str(replay.context["form"].errors["code"])


def test_proof_changes_the_key_of_the_session(alice):
    before = alice.session.session_key

    alice.post(VERIFY, {"code": now_code()})

    assert alice.session.session_key != before
    assert not Session.objects.filter(pk=before).exists()


@pytest.mark.usefixtures("still_clock")
@pytest.mark.parametrize("steps", [-1, 0, 1])
def test_a_clock_may_be_half_a_minute_off(alice, steps):
    assert alice.post(VERIFY, {"code": now_code(steps=steps)}).status_code == 302


@pytest.mark.parametrize("steps", [-3, 3, 1000])
def test_a_clock_that_is_far_off_opens_nothing(alice, steps):
    assert alice.post(VERIFY, {"code": now_code(steps=steps)}).status_code == 200


def test_a_clock_that_drifts_is_followed(cast):
    device = authenticators.give(cast.alice, secret=SECRET)
    at = timezone.now()
    for drift in range(1, 6):
        moment = at + timedelta(seconds=drift * 300)
        shown = moment + timedelta(seconds=drift * authenticators.STEP_SECONDS)
        code = authenticators.code_at(SECRET, at=shown)
        device.refresh_from_db()

        assert authenticators.spend(device, code=code, at=moment)


def test_an_older_code_is_worth_nothing_after_a_younger_one(alice, cast):
    assert alice.post(VERIFY, {"code": now_code()}).status_code == 302

    again = by_password_alone(cast.alice).post(VERIFY, {"code": now_code(steps=-1)})

    assert again.status_code == 200


@pytest.mark.parametrize("is_home", [False, True], ids=["elsewhere", "home"])
def test_ten_guesses_in_any_hour_get_through_from_however_many_addresses(is_home, cast, counts):
    authenticators.give(cast.alice, secret=SECRET)
    home = "192.0.2.7"
    if is_home:
        signing_in.know(user=cast.alice, holder=home, at=AT, has_proved=True)
    looked_at = []
    for second in range(0, 3 * 3600, 30):
        address = home if is_home else f"198.51.{second % 100}.{second % 250}"
        with suppress(signing_in.TooManyTries):
            tries.begin(user=cast.alice, address=address, at=AT + timedelta(seconds=second))
            looked_at.append(second)
        counts(guesses=1)

    in_hours = [sum(start <= each < start + 3600 for each in looked_at) for start in looked_at]
    assert max(in_hours) <= 10
    assert len(looked_at) == 5 + 14


def test_the_page_looks_at_five_codes_at_once_from_however_many_addresses(alice, cast, counts):
    looked_at = 0
    for number in range(120):
        address = f"198.51.{number % 100}.{number}"
        answer = by_password_alone(cast.alice).post(VERIFY, {"code": "000000"}, REMOTE_ADDR=address)
        looked_at += answer.status_code == 200
        counts(guesses=1)

    assert looked_at == 5
    refused = alice.post(VERIFY, {"code": now_code()}, REMOTE_ADDR="203.0.113.77")
    assert refused.status_code == 429


@pytest.mark.usefixtures("still_clock")
def test_who_guesses_elsewhere_shuts_nobody_out_at_home(alice, cast):
    home = "192.0.2.7"
    alice.post(VERIFY, {"code": now_code(steps=-1)}, REMOTE_ADDR=home)
    thief = by_password_alone(cast.alice)
    for _ in range(12):
        thief.post(VERIFY, {"code": "000000"}, REMOTE_ADDR="203.0.113.9")

    answer = by_password_alone(cast.alice).post(VERIFY, {"code": now_code()}, REMOTE_ADDR=home)

    assert answer.status_code == 302


def test_knowing_the_password_alone_makes_nobody_at_home(alice, cast):
    """Or a thief would have ten guesses of its own at each address."""
    thief = Client(REMOTE_ADDR="203.0.113.9")
    thief.post("/account/sign-in", {"username": cast.alice.email, "password": PASSWORD})

    assert KnownAddress.objects.get(user=cast.alice).proved_at is None


@pytest.mark.parametrize(
    "code",
    ["12345", "1234567", "abcdef", "", "12345\n6", "١٢٣٤٥٦", "²²²²²²", "abcd-efgh-jkmn", "x" * 41],
)
def test_what_is_no_code_is_no_try(code, alice):
    for _ in range(12):
        answer = alice.post(VERIFY, {"code": code})

    assert answer.status_code == 200
    assert answer.context["form"].errors["code"]


def test_second_factor_leads_to_no_other_host(alice):
    answer = alice.post(f"{VERIFY}?next=//evil.test/", {"code": now_code()})

    assert answer.headers["Location"] == "/overview/"


@pytest.mark.parametrize("path", [VERIFY, ENROL, CODES, DEVICES, PASSWORD_AGAIN])
def test_secrets_and_codes_are_kept_by_no_browser(path, cast):
    assert "no-store" in signed_in(cast.alice).get(path).headers["Cache-Control"]
    assert "no-store" in signed_in(cast.sam).get(path).headers["Cache-Control"]


def test_no_password_is_tried_on_the_staff_s_other_page(staff, cast):
    response = staff.post("/staff/login/", {"username": cast.sam.email, "password": PASSWORD})

    assert response.headers["Location"] == "/account/sign-in"


# Codes on paper -------------------------------------------------------------------------


def made_codes(client):
    return client.post(CODES).context["codes"]


def test_codes_are_shown_once_and_kept_as_digests(cast):
    alice = verified(cast.alice)

    told = made_codes(alice)

    assert len(set(told)) == 10
    stored = str(list(RecoveryCode.objects.values_list("digest", flat=True)))
    kept = str([dict(session.get_decoded()) for session in Session.objects.all()])
    for code in told:
        assert code not in stored + kept
        assert code.replace("-", "") not in stored + kept
    assert told[0] not in alice.get(CODES).content.decode()
    assert told[0] not in str(list(Notice.objects.values_list("context", flat=True)))


def test_a_code_opens_once_however_it_is_typed(cast):
    told = made_codes(verified(cast.alice))
    typed = told[0].upper().replace("-", " ")

    first = by_password_alone(cast.alice).post(VERIFY, {"code": typed})
    second = by_password_alone(cast.alice).post(VERIFY, {"code": told[0]})

    assert first.status_code == 302
    assert second.context["form"].errors["code"]
    assert recovery_codes.left(cast.alice) == 9


def test_using_a_code_is_told_to_the_person(cast):
    told = made_codes(verified(cast.alice))
    Notice.objects.all().delete()

    by_password_alone(cast.alice).post(VERIFY, {"code": told[0]})

    letter = Notice.objects.get()
    assert (letter.context["what"], letter.context["left"]) == ("code_used", 9)
    assert Event.objects.filter(kind="second_factor.code_used").count() == 1


def test_a_new_set_ends_the_old_one_and_what_it_let_in(cast):
    alice = verified(cast.alice)
    old = made_codes(alice)
    by_paper = by_password_alone(cast.alice)
    by_paper.post(VERIFY, {"code": old[0]})
    assert by_paper.get("/overview/").status_code == 200

    made_codes(alice)

    assert by_paper.get("/overview/").status_code == 302
    refused = by_password_alone(cast.alice).post(VERIFY, {"code": old[1]})
    assert refused.context["form"].errors["code"]


def test_who_came_in_on_paper_makes_new_ones_and_stays(cast):
    old = made_codes(verified(cast.alice))
    by_paper = by_password_alone(cast.alice)
    by_paper.post(VERIFY, {"code": old[0]})

    made_codes(by_paper)

    assert by_paper.get("/overview/").status_code == 200


def test_codes_of_somebody_else_open_nothing(alice, cast):
    told = made_codes(verified(cast.charlie))

    assert alice.post(VERIFY, {"code": told[0]}).status_code == 200


def test_few_codes_are_warned_of(cast):
    alice = verified(cast.alice)
    told = made_codes(alice)
    for code in told[:7]:
        recovery_codes.spend(cast.alice, code=code, at=timezone.now())

    assert "Only 3 recovery codes are left." in alice.get(DEVICES).content.decode()


def test_codes_can_be_kept_as_a_file(cast):
    page = verified(cast.alice).post(CODES)

    assert page.context["as_file"].startswith("data:text/plain")
    assert page.context["codes"][9] in page.context["as_file"]


def test_without_a_device_there_are_no_codes(cast):
    answer = signed_in(cast.alice).post(CODES)

    assert answer.headers["Location"] == ENROL
    assert not RecoveryCode.objects.exists()


# Devices --------------------------------------------------------------------------------


def device_url(device, what):
    return f"{DEVICES}app/{device.pk}/{what}"


def test_a_device_is_renamed(cast):
    alice, device = verified(cast.alice), Authenticator.objects.get()

    alice.post(device_url(device, "name"), {"name": "  Blue   phone "})

    device.refresh_from_db()
    assert device.name == "Blue phone"
    fact = Event.objects.get(kind="second_factor.renamed")
    assert fact.data == {"name": {"old": "Authenticator app", "new": "Blue phone"}}

    alice.post(device_url(device, "name"), {"name": "Blue phone"})
    assert Event.objects.filter(kind="second_factor.renamed").count() == 1


def test_each_fact_about_a_factor_says_by_which_door_and_from_where(cast):
    """A letter that answers for somebody who has no account says it as well."""
    cast_off = Client(REMOTE_ADDR="198.51.100.77")
    alice = verified(cast.alice, Client(REMOTE_ADDR="198.51.100.77"))
    enrol_again(alice)
    device = Authenticator.objects.latest("pk")
    alice.post(device_url(device, "name"), {"name": "Blue phone"})
    made_codes(alice)
    alice.post(device_url(device, "remove"))
    cast_off.post(reverse("accounts:factor_lost_begin", args=[lost_links.asking_token(cast.alice)]))
    loss = FactorLoss.objects.get()
    token = lost_links.calling_off_token(str(loss.uuid), to="nobody@nowhere.test")
    cast_off.post(reverse("accounts:factor_found", args=[token]))

    found = Event.objects.filter(kind__startswith="second_factor.").order_by("seq")
    assert [each.kind.partition(".")[2] for each in found] == [
        "added",
        "renamed",
        "codes_made",
        "removed",
        "lost",
        "loss_called_off",
    ]
    assert {(each.door, each.address) for each in found} == {("panel", "198.51.100.77")}


def test_removing_the_last_device_takes_the_codes_with_it(cast):
    alice, device = verified(cast.alice), Authenticator.objects.get()
    made_codes(alice)
    Notice.objects.all().delete()

    alice.post(device_url(device, "remove"))

    assert not Authenticator.objects.exists()
    assert not RecoveryCode.objects.exists()
    assert Notice.objects.get().context["what"] == "removed"
    assert Event.objects.filter(kind="second_factor.removed").count() == 1


def test_last_device_stays_with_whoever_must_have_one(cast):
    rita, device = verified(cast.rita), Authenticator.objects.get()

    answer = rita.post(device_url(device, "remove"))

    assert answer.status_code == 409
    assert Authenticator.objects.filter(pk=device.pk).exists()


def test_one_of_two_devices_goes_and_its_sessions_prove_the_other(cast):
    rita, device = verified(cast.rita), Authenticator.objects.get()
    authenticators.give(cast.rita, secret=b"another twenty bytes")

    rita.post(device_url(device, "remove"))

    assert rita.get("/overview/").headers["Location"].startswith(VERIFY)


@pytest.mark.parametrize("what", ["name", "remove"])
@pytest.mark.parametrize("method", ["get", "post"])
def test_a_device_of_somebody_else_is_as_absent(what, method, cast):
    alice, device = verified(cast.alice), authenticators.give(cast.charlie, secret=SECRET)

    foreign = getattr(alice, method)(device_url(device, what), {"name": "mine"})
    absent = getattr(alice, method)(f"{DEVICES}app/{device.pk + 9}/{what}", {"name": "mine"})

    assert (foreign.status_code, absent.status_code) == (404, 404)
    device.refresh_from_db()
    assert device.name != "mine"


@pytest.mark.parametrize("kind", ["codes", "user", "authenticator"])
def test_there_are_two_kinds_of_devices(kind, cast):
    assert verified(cast.alice).get(f"{DEVICES}{kind}/1/remove").status_code == 404


def test_no_more_devices_than_can_be_kept(cast):
    alice = verified(cast.alice)
    for _ in range(19):
        authenticators.give(cast.alice, secret=SECRET)

    assert alice.get(ENROL).status_code == 409


def test_an_unfinished_enrolment_opens_nothing_and_asks_for_nothing(cast):
    """Somebody looked at the QR code and left: there is no second factor yet."""
    alice = just_came_in(cast.alice)
    alice.get(ENROL)
    code = now_code(secret_of(cast.alice))

    assert alice.post(VERIFY, {"code": code}).headers["Location"] == ENROL
    assert alice.get("/overview/").status_code == 200


def test_a_proof_of_an_hour_ago_changes_no_device(cast):
    alice, device = stale(verified(cast.alice)), Authenticator.objects.get()

    assert alice.post(device_url(device, "remove")).headers["Location"].startswith(VERIFY)
    assert alice.post(CODES).headers["Location"].startswith(VERIFY)
    assert Authenticator.objects.exists()


def test_a_reseller_s_people_see_its_name_and_not_the_house_s(cast, settings):
    """In the app of their phone, and in the file with the codes."""
    settings.HOUSE_NAME = "Secret House"
    make_brand(cast.reseller)
    name = cast.reseller.brand.product_name
    assert telling.house_of(cast.alice) == name
    assert telling.house_of(cast.charlie) == "Secret House"

    told = verified(cast.alice).post(CODES).context["as_file"]

    assert quote(name) in told
    assert "Secret" not in told
