"""Every page of the panel, as owner, colleague, stranger and staff see it."""

from __future__ import annotations

import re
from datetime import timedelta
from uuid import uuid4

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts.models import Organisation, SignUpRequest, User
from hosting import ordering
from hosting.models import Contract, Plan, Price
from mailstore import cooling, credentials, provisioning
from mailstore.models import Alarm, AppPassword, Domain, LastLogin, Mailbox, PendingChange, Usage
from tests.corpus import HOSTILE_DOMAINS, HOSTILE_LOCAL_PARTS
from tests.factories import AT, PASSWORD, make_domain, make_mailbox
from tests.newcomers import asked, form, signed_up
from tests.staffing import signed_in

pytestmark = pytest.mark.django_db(databases=["default", "reports"])


def client_of(user):
    client = Client()
    signed_in(user, client)
    return client


@pytest.fixture
def alice(cast):
    return client_of(cast.alice)


def issue(cast, mailbox, label):
    issued = credentials.issue(actor=cast.actor(cast.alice), mailbox=mailbox, label=label, at=AT)
    return issued.app_password


@pytest.fixture
def mailbox(cast, twin):
    mailbox = make_mailbox(cast.domain)
    twin.know(mailbox.address)
    return mailbox


def url(name, mailbox, *more):
    return reverse(f"mailboxes:{name}", args=[mailbox.uuid, *more])


def text_of(response):
    return " ".join(re.sub(r"<[^>]+>", " ", response.content.decode()).split())


# The public page ------------------------------------------------------------------------


def test_choice_shows_both_prices_and_advice(client, db):
    text = text_of(client.get("/"))

    assert "1.00 EUR a month" in text
    assert "2.50 EUR a month" in text
    assert "For 3 GB and 2 devices" in text


@pytest.mark.parametrize(
    ("query", "advice"),
    [
        ("gb=0&devices=1", "POP costs less"),
        ("gb=9&devices=1", "IMAP keeps it on the server"),
        ("gb=0&devices=3", "on 3 devices"),
    ],
)
def test_estimate_gives_its_reason(client, db, query, advice):
    assert advice in text_of(client.get(f"/estimate?{query}"))


def test_estimate_prices_what_is_above_the_included(client, db):
    assert "2.98 EUR" in text_of(client.get("/estimate?gb=9&devices=1"))


@pytest.mark.parametrize("query", ["gb=-1", "gb=x", "devices=0", "gb=1e9"])
def test_estimate_answers_nonsense_with_a_sentence(client, db, query):
    assert "Choose 0 to 50 GB" in text_of(client.get(f"/estimate?{query}"))


@pytest.mark.parametrize(
    ("query", "gb", "devices"),
    [("", "3 GB", "2 devices"), ("?gb=0&devices=1", "0 GB", "1 device"), ("?gb=x", "3 GB", "2 d")],
)
def test_sliders_stand_where_they_were_put(client, db, query, gb, devices):
    text = text_of(client.get("/" + query))

    assert f"How much mail do you keep? {gb}" in text
    assert f"How many devices do you read it on? {devices}" in text


def test_health_answers(client, db):
    assert client.get("/healthz").json() == {"status": "ok"}


def test_choice_works_without_plans(client, db):
    Price.objects.all().delete()
    Plan.objects.all().delete()

    assert client.get("/").status_code == 200


# Signing up and in ----------------------------------------------------------------------


def test_sign_up_makes_a_customer_and_signs_in(client, cast):
    response = signed_up(client, email="Dora@Example.test", organisation_name="Dora's Hats")

    assert response.headers["Location"] == "/overview/"
    user = User.objects.get(email="dora@example.test")
    organisation = Organisation.objects.get(name="Dora's Hats")
    assert (organisation.parent, organisation.kind) == (cast.provider, "customer")
    assert user.memberships.get().role == "owner"
    assert client.get("/overview/").status_code == 200


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("password", "short", "too short"),
        ("password", "password123", "easy to guess"),
        ("password", "dora@example.test", "too similar"),
        ("name", "", "required"),
    ],
)
def test_opening_says_beside_the_field_what_is_wrong(client, cast, field, value, message):
    response = signed_up(client, **{field: value})

    assert message in str(response.context["form"].errors[field])
    assert not Organisation.objects.filter(name="Hazel").exists()


@pytest.mark.parametrize("email", ["nonsense", "", f"{'x' * 250}@example.test"])
def test_sign_up_writes_to_addresses_alone(client, cast, email):
    response = client.post("/account/sign-up", {"email": email})

    assert response.context["form"].errors["email"]
    assert not SignUpRequest.objects.exists()


def test_sign_up_needs_a_provider(client, db):
    response = client.post("/account/sign-up", {"email": "dora@example.test"})

    assert "has not been set up" in text_of(response)
    assert not SignUpRequest.objects.exists()


def test_sign_up_can_be_switched_off(client, cast, settings):
    path = asked(client, "dora@example.test")
    settings.SIGN_UP_OPEN = False

    assert client.get("/account/sign-up").status_code == 404
    assert client.get(path).status_code == 404
    assert client.post(path, form()).status_code == 404
    assert not User.objects.filter(email="dora@example.test").exists()
    assert "Sign up" not in text_of(client.get("/"))


def test_sign_in_takes_the_address_in_any_case(client, cast):
    asked = {"username": "ALICE@example.test", "password": PASSWORD}

    assert client.post("/account/sign-in", asked).headers["Location"] == "/overview/"


def test_sign_in_goes_to_no_other_host(client, cast):
    asked = {"username": "alice@example.test", "password": PASSWORD}

    response = client.post("/account/sign-in?next=https://evil.test/", asked)

    assert response.headers["Location"] == "/overview/"


def test_sign_out_takes_a_post(alice):
    assert alice.get("/account/sign-out").status_code == 405
    assert alice.post("/account/sign-out").status_code == 302
    assert alice.get("/overview/").status_code == 302


def test_form_sent_after_the_end_of_the_session_says_so_and_leads_back(client, cast):
    form = {"HTTP_REFERER": "http://testserver/domains/?page=2"}

    answer = client.post("/domains/add", {"name": "typed.test"}, **form)

    assert answer.headers["Location"] == "/account/sign-in?next=%2Fdomains%2F%3Fpage%3D2&unsent=1"
    assert "was not taken" in text_of(client.get(answer.headers["Location"]))
    assert "was not taken" not in text_of(client.get("/account/sign-in?next=/domains/"))


def test_form_from_another_host_leads_back_to_the_first_page(client, cast):
    form = {"HTTP_REFERER": "http://evil.test/domains/"}

    answer = client.post("/domains/add", {"name": "typed.test"}, **form)

    assert answer.headers["Location"] == "/account/sign-in?next=%2Foverview%2F&unsent=1"


def test_address_of_a_form_says_what_it_is_for(alice):
    answer = alice.get("/domains/add")

    assert answer.status_code == 405
    assert answer.headers["Allow"] == "POST"
    assert answer.headers["Content-Length"] == str(len(answer.content))
    assert "only takes what a form sends" in text_of(answer)


def test_page_that_refreshes_itself_after_a_sign_out_is_loaded_anew(client, mailbox):
    response = client.get(url("use", mailbox), headers={"HX-Request": "true"}, follow=True)

    assert response.headers["HX-Refresh"] == "true"
    assert response.content == b""


# Overview -------------------------------------------------------------------------------


def test_overview_lists_use_and_state(alice, cast, mailbox):
    make_mailbox(cast.other_domain, "secret")
    Usage.objects.create(username=mailbox.address, bytes=5 * 10**9, messages=3)

    text = text_of(alice.get("/overview/"))

    assert "hello@alder.test" in text
    assert "5 GB of 10 GB" in text
    assert "Mailboxes 1 IMAP 1 This month so far" in text
    assert "Forecast of the month" in text
    assert "secret" not in text


def test_overview_of_a_new_customer_says_what_to_do(alice):
    assert "No mailbox yet" in text_of(alice.get("/overview/"))


def test_overview_filters_and_pages(alice, cast):
    for number in range(60):
        make_mailbox(cast.domain, f"box{number:02}", "pop" if number % 2 else "imap")

    first = alice.get("/overview/?q=box")
    second = alice.get("/overview/" + first.context["next_url"])
    pop = alice.get("/overview/?protocol=pop")
    none = alice.get("/overview/?q=zzz")

    assert [len(p.context["mailboxes"]) for p in (first, second, pop)] == [50, 10, 30]
    assert second.context["next_url"] == ""
    assert "No mailbox matches" in text_of(none)


@pytest.mark.parametrize("count", [1, 3])
def test_overview_asks_a_fixed_number_of_queries(alice, cast, django_assert_num_queries, count):
    for number in range(count):
        make_mailbox(cast.domain, f"box{number}")

    with django_assert_num_queries(16):
        alice.get("/overview/")


@pytest.mark.parametrize("count", [1, 3])
def test_mailbox_asks_a_fixed_number_of_queries(
    alice, cast, mailbox, django_assert_num_queries, count
):
    for number in range(count):
        issue(cast, mailbox, f"Device {number}")

    with django_assert_num_queries(11):
        alice.get(url("detail", mailbox))


def test_overview_rows_come_alone_for_htmx(alice, mailbox):
    response = alice.get("/overview/", headers={"HX-Request": "true"})

    assert response.content.decode().lstrip().startswith('<div id="rows"')


def test_overview_comes_whole_when_a_browser_goes_back(alice, mailbox):
    headers = {"HX-Request": "true", "HX-History-Restore-Request": "true"}

    response = alice.get("/overview/", headers=headers)

    assert "<!doctype html>" in response.content.decode()
    assert "HX-Request" in response.headers["Vary"]


@pytest.mark.parametrize("sort", ["address", "newest", "fullest"])
def test_overview_pages_hold_each_mailbox_once_in_every_order(alice, cast, sort):
    for number in range(120):
        box = make_mailbox(cast.domain, f"box{number * 7 % 120:03}")
        Mailbox.objects.filter(pk=box.pk).update(warned_percent=(0, 80, 90)[number % 3])
    order = {
        "address": ["address"],
        "newest": ["-pk"],
        "fullest": ["-warned_percent", "address"],
    }

    seen, query = [], f"?sort={sort}"
    while query:
        page = alice.get("/overview/" + query)
        seen += [row["address"] for row in page.context["mailboxes"]]
        query = page.context["next_url"]

    assert seen == list(Mailbox.objects.order_by(*order[sort]).values_list("address", flat=True))


def test_overview_survives_an_unknown_order_and_a_lost_place(alice, mailbox):
    unknown = alice.get("/overview/?sort=nonsense")
    lost = alice.get("/overview/?sort=newest&after=gone@alder.test")

    assert [row["address"] for row in unknown.context["mailboxes"]] == ["hello@alder.test"]
    assert lost.context["mailboxes"] == []


def test_overview_says_locked_full_and_when_somebody_signed_in(alice, cast, mailbox):
    Mailbox.objects.filter(pk=mailbox.pk).update(full_since=AT)
    locked = make_mailbox(cast.domain, "locked")
    Mailbox.objects.filter(pk=locked.pk).update(frozen_at=AT)
    now = int(timezone.now().timestamp())
    for address, at in (("192.0.2.1", now - 90_000), ("192.0.2.2", now - 70)):
        LastLogin.objects.create(
            username=mailbox.address, proto="imap", device="-", address=address, last_login=at
        )

    text = text_of(alice.get("/overview/"))

    assert "0 B of 10 GB a minute ago Full" in text
    assert "0 B of 10 GB Never Locked" in text


def test_overview_of_a_customer_with_a_domain_leads_to_ordering(alice):
    assert b'href="/mailboxes/order"' in alice.get("/overview/").content


def test_overview_names_what_needs_attention(alice, mailbox, cast):
    Mailbox.objects.filter(pk=mailbox.pk).update(full_since=AT)
    near = make_mailbox(cast.domain, "near")
    Mailbox.objects.filter(pk=near.pk).update(warned_percent=80)

    text = text_of(alice.get("/overview/"))

    assert "hello@alder.test is full" in text
    assert "1 mailbox is more than 80 % full" in text


# Ordering -------------------------------------------------------------------------------


def order(client, **changes):
    asked = {"domain": "alder.test", "local_part": "new", "protocol": "pop", "label": "Till"}
    return client.post("/mailboxes/order", {**asked, **changes})


def test_order_makes_mailbox_contract_and_one_secret(alice, cast):
    response = order(alice)

    mailbox = Mailbox.objects.get()
    assert response.headers["Location"] == url("set_up", mailbox)
    assert Contract.objects.get(mailbox=mailbox).plan.slug == "pop"
    first, second = alice.get(url("set_up", mailbox)), alice.get(url("set_up", mailbox))
    secret = first.context["secret"]
    assert AppPassword.objects.get().digest == credentials.digest(secret)
    assert secret in first.content.decode()
    assert secret not in second.content.decode()
    assert "being prepared" in text_of(second)


@pytest.mark.parametrize("local_part", HOSTILE_LOCAL_PARTS)
def test_order_refuses_hostile_names_beside_the_field(alice, local_part):
    response = order(alice, local_part=local_part)

    assert response.status_code == 422
    assert response.context["form"].errors["local_part"]
    assert not Mailbox.objects.exists()


def test_order_refuses_what_is_taken_or_reserved(alice, cast):
    make_mailbox(cast.domain, "new")

    assert "is taken" in text_of(order(alice))
    assert "only staff" in text_of(order(alice, local_part="postmaster"))


@pytest.mark.parametrize("changes", [{"domain": "juniper.test"}, {"domain": "none.test"}])
def test_order_knows_no_domain_of_a_stranger(alice, changes):
    assert order(alice, **changes).context["form"].errors["domain"]


def test_order_refuses_what_is_not_on_sale(alice, cast):
    Plan.objects.update(is_on_sale=False)

    assert "not on sale" in text_of(order(alice))
    assert alice.get("/mailboxes/order").status_code == 200


def test_order_needs_a_role_that_allows_it(cast):
    response = order(client_of(cast.bob))

    assert "does not allow" in text_of(response)
    assert not Mailbox.objects.exists()


def test_order_without_a_domain_leads_to_domains(cast):
    Domain.objects.all().delete()

    assert "First a domain" in text_of(client_of(cast.alice).get("/mailboxes/order"))


def test_order_price_follows_the_choice(alice):
    assert "1.00 EUR" in text_of(alice.get("/mailboxes/order/price?protocol=pop"))
    assert "0.12 EUR" in text_of(alice.get("/mailboxes/order/price?protocol=imap"))


def test_order_is_taken_at_a_price_that_was_seen(alice):
    """Without scripts, the page goes on to show what was chosen when it came."""
    imap = alice.get("/mailboxes/order").context["seen"]

    again = order(alice, protocol="pop", seen=imap)

    assert again.status_code == 422
    assert "The page showed another price." in text_of(again)
    assert "1.00 EUR" in text_of(again)
    assert not Mailbox.objects.exists()
    assert order(alice, protocol="pop", seen=again.context["seen"]).status_code == 302
    assert Mailbox.objects.get().protocol == "pop"


def test_order_shows_the_price_that_holds_by_now(alice):
    seen = alice.get("/mailboxes/order").context["seen"]
    price = Price.objects.get(pk=seen)
    later = timezone.now().date()
    Price.objects.create(
        price_list=price.price_list,
        plan=price.plan,
        starts_on=later,
        monthly_price="9.99",
        storage_price=price.storage_price,
        included_bytes=price.included_bytes,
    )

    again = order(alice, protocol="imap", seen=seen)

    assert "9.99 EUR" in text_of(again)
    assert not Mailbox.objects.exists()


@pytest.mark.parametrize(
    ("space", "most"),
    [
        ("", "3.10"),
        ("20000000000", "4.30"),
        ("50000000000", "7.90"),
        ("7", "3.10"),
        ("²", "3.10"),
        ("9" * 5000, "3.10"),
    ],
)
def test_order_price_names_the_most_it_can_cost(alice, space, most):
    page = alice.get("/mailboxes/order/price", {"protocol": "imap", "space": space})

    assert f"Never more than {most} EUR" in text_of(page)


@pytest.mark.parametrize(
    ("protocol", "space", "gigabytes"),
    [("imap", "", 10), ("imap", "40000000000", 40), ("pop", "40000000000", 1)],
)
def test_order_takes_the_space_that_was_chosen(alice, protocol, space, gigabytes):
    order(alice, protocol=protocol, space=space)

    assert Mailbox.objects.get().quota_bytes == gigabytes * 10**9


@pytest.mark.parametrize("space", ["51000000000", "9" * 5000])
def test_order_refuses_a_space_that_is_not_offered(alice, space):
    response = order(alice, protocol="imap", space=space)

    assert response.status_code == 422
    assert response.context["form"].errors["space"]
    assert not Mailbox.objects.exists()


@pytest.mark.parametrize(("device", "label"), [("Till", "Till"), ("", "First device")])
def test_order_names_the_first_device(alice, device, label):
    order(alice, device=device)

    assert AppPassword.objects.get().label == label


def test_order_begins_with_the_domain_it_came_from(alice, cast):
    make_domain("zinc.test", cast.customer)

    page = alice.get("/mailboxes/order?domain=zinc.test").content.decode()

    assert '<option value="zinc.test" selected>' in page


# One mailbox ----------------------------------------------------------------------------


def test_detail_shows_live_use_devices_and_sign_ins(alice, cast, mailbox):
    issued = credentials.issue(actor=cast.actor(cast.alice), mailbox=mailbox, label="Phone", at=AT)
    Usage.objects.create(username=mailbox.address, bytes=1500, messages=2)
    LastLogin.objects.create(
        username=mailbox.address,
        proto="imap",
        device=issued.app_password.uuid.hex,
        address="2001:db8::7",
        last_login=1_795_000_000,
    )

    for page in ("detail", "use"):
        text = text_of(alice.get(url(page, mailbox)))
        assert "1.5 kB" in text
        assert "Phone" in text
        assert "2001:db8::7" in text
        assert "all 2 messages would still be here" in text


def test_detail_stands_while_the_mail_server_is_down(alice, mailbox, twin):
    twin.is_down = True

    assert "cannot be asked about the folders" in text_of(alice.get(url("detail", mailbox)))


def test_folders_come_in_the_order_people_know(alice, mailbox, twin):
    twin.create_mailbox(user=mailbox.address, folders=["zebra", "Archive", "Ant", "Trash", "Sent"])

    folders = alice.get(url("use", mailbox)).context["folders"]

    names = [folder["folder"] for folder in folders]
    assert names == ["Inbox", "Sent", "Trash", "Archive", "Ant", "zebra"]


@pytest.mark.parametrize(
    ("used", "text"), [(0, "0 %"), (1, "under 1 %"), (10**8, "1 %"), (10**10, "100 %")]
)
def test_use_is_told_in_percent(alice, mailbox, used, text):
    Usage.objects.create(username=mailbox.address, bytes=used, messages=1)

    assert f"of 10 GB {text} " in text_of(alice.get(url("use", mailbox)))


def test_use_says_what_can_be_brought_back(alice, mailbox):
    Mailbox.objects.filter(pk=mailbox.pk).update(store_bytes=38_000_000)

    assert "38 MB can be brought back." in text_of(alice.get(url("use", mailbox)))


def test_history_is_told_in_words(alice, cast, mailbox):
    phone = issue(cast, mailbox, "100 % mine")
    alice.post(url("revoke_app_password", mailbox, phone.uuid))
    alice.post(url("change_quota", mailbox), {"gigabytes": "20"})
    alice.post(url("suspend", mailbox))

    page = alice.get(url("detail", mailbox))

    assert [(line.text, line.by) for line in page.context["events"]] == [
        ("The mailbox was suspended: nobody could sign in.", "alice@example.test"),
        ("The limit was changed from 10 GB to 20 GB.", "alice@example.test"),
        ("The app password of “100 % mine” was revoked.", "alice@example.test"),
        ("An app password was made for “100 % mine”.", "alice@example.test"),
        ("The mailbox was ordered.", "Restante"),
    ]


@pytest.mark.parametrize("state", ["full", "suspended", "closing", "frozen"])
def test_state_says_what_to_do(alice, cast, mailbox, state):
    changes = {
        "full": {"full_since": AT},
        "frozen": {"frozen_at": AT},
        "suspended": {"state": "suspended"},
        "closing": {"state": "closing", "erase_after": AT},
    }
    deeds = {
        "full": "raise the limit below",
        "suspended": "Resume",
        "closing": "Reopen",
        "frozen": "Was it you?",
    }
    Mailbox.objects.filter(pk=mailbox.pk).update(**changes[state])
    Alarm.objects.create(mailbox=mailbox, at=AT, since=AT, messages=1, bytes=1, reason="x")

    for page in ("detail", "state"):
        assert deeds[state] in text_of(alice.get(url(page, mailbox)))


def test_detail_of_pop_says_what_would_be_left(alice, cast):
    assert "No message lies here yet" in text_of(
        alice.get(url("detail", make_mailbox(cast.domain, "till", "pop")))
    )


@pytest.mark.parametrize(
    "name", ["detail", "use", "state", "set_up", "close", "suspend", "add_app_password"]
)
def test_stranger_s_mailbox_answers_like_an_absent_one(cast, mailbox, name):
    stranger = client_of(cast.charlie)
    method = stranger.post if name in {"suspend", "add_app_password"} else stranger.get

    foreign = method(url(name, mailbox))
    absent = method(reverse(f"mailboxes:{name}", args=[uuid4()]))

    assert (foreign.status_code, absent.status_code) == (404, 404)
    assert text_of(foreign) == text_of(absent)


def test_pages_of_a_mailbox_need_a_sign_in(client, mailbox):
    for name in ("detail", "set_up", "close"):
        assert client.get(url(name, mailbox)).headers["Location"].startswith("/account/sign-in")


@pytest.mark.parametrize("program", ["thunderbird", "outlook", "apple-mail", "ios", "android"])
def test_set_up_gives_steps_for_each_program(alice, mailbox, program):
    text = text_of(alice.get(url("set_up", mailbox) + f"?program={program}"))

    assert "10993" in text
    assert "hello@alder.test" in text
    assert "{" not in text


def test_set_up_shows_by_itself_when_a_program_signs_in(alice, cast, mailbox):
    alice.post(url("add_app_password", mailbox), {"label": "Phone", "protocols": ["imap"]})
    password = AppPassword.objects.get()
    page = url("set_up", mailbox)
    look = {"HX-Request": "true"}
    assert "No mail program has signed in yet." in text_of(alice.get(page, headers=look))
    LastLogin.objects.create(
        username=mailbox.address,
        proto="imap",
        device=password.uuid.hex,
        address="192.0.2.1",
        last_login=int(timezone.now().timestamp()) - 70,
    )

    checked = alice.get(page, headers=look)

    assert "“Phone” signed in by IMAP a minute ago" in text_of(checked)
    # Looking does not use up the secret that is shown once.
    assert alice.get(page).context["secret"]


def test_set_up_knows_no_other_program(alice, mailbox):
    assert alice.get(url("set_up", mailbox) + "?program=none").status_code == 404


def test_test_message_arrives(alice, mailbox, twin):
    alice.post(url("send_test", mailbox))

    [message] = twin.accounts[mailbox.address].folders["INBOX"].raws
    assert b"It works: hello@alder.test" in message


@pytest.mark.parametrize(
    ("is_down", "text"),
    [
        (True, "cannot be reached"),
        (False, "Mailbox is full"),
    ],
)
def test_test_message_says_why_it_failed(alice, mailbox, twin, is_down, text):
    twin.accounts[mailbox.address].quota_bytes = 1
    twin.is_down = is_down

    response = alice.post(url("send_test", mailbox), headers={"HX-Request": "true"})

    assert text in text_of(response)


def test_app_password_is_made_and_revoked(alice, mailbox):
    assert alice.post(url("add_app_password", mailbox), {"label": ""}).status_code == 422
    without = alice.post(url("add_app_password", mailbox), {"label": "Tablet"})
    assert "Choose at least one protocol." in text_of(without)
    asked = {"label": "Tablet", "protocols": ["pop"]}
    alice.post(url("add_app_password", mailbox), asked)
    password = AppPassword.objects.get()
    assert (password.allows_pop, password.allows_imap) == (True, False)
    revoke = url("revoke_app_password", mailbox, password.uuid)

    assert "Tablet" in text_of(alice.get(revoke))
    alice.post(revoke)

    password.refresh_from_db()
    assert password.revoked_at
    assert "Revoked" in text_of(alice.get(url("detail", mailbox)))


def test_mailbox_password_is_set_and_removed(alice, mailbox):
    assert alice.post(url("set_password", mailbox), {"password": "short"}).status_code == 422
    for password, is_set in (("long enough words", True), ("", False)):
        alice.post(url("set_password", mailbox), {"password": password})
        mailbox.refresh_from_db()
        assert bool(mailbox.password_hash) is is_set


@pytest.mark.parametrize(
    ("gigabytes", "status"),
    [("20", 302), ("51", 422), ("0", 422), ("-1", 422), ("x", 422), ("1e99", 422), ("NaN", 422)],
)
def test_limit_stays_within_the_plan(alice, mailbox, gigabytes, status):
    assert alice.post(url("change_quota", mailbox), {"gigabytes": gigabytes}).status_code == status


def test_suspend_and_resume(alice, mailbox):
    for name, state in (("suspend", "suspended"), ("resume", "pending")):
        assert alice.post(url(name, mailbox)).status_code == 302
        mailbox.refresh_from_db()
        assert mailbox.state == state


def test_closing_waits_ends_the_contract_and_is_taken_back(alice, mailbox, twin):
    asked = alice.post(url("close", mailbox), {"address": "HELLO@alder.test"}, follow=True)
    assert "This mailbox closes on" in text_of(asked)
    mailbox.refresh_from_db()
    assert (mailbox.state, mailbox.closing_since) == ("active", None)

    PendingChange.objects.update(effective_at=AT)
    cooling.make_due(engine=twin, at=AT)
    assert (ordering.end_contracts(), ordering.end_contracts()) == (1, 0)
    assert Contract.objects.get().ends_at == AT

    assert alice.post(url("close", mailbox), {"address": "hello@alder.test"}).status_code == 302
    assert not PendingChange.objects.waiting().exists()
    alice.post(url("reopen", mailbox))
    mailbox.refresh_from_db()
    assert (mailbox.state, mailbox.closing_since) == ("pending", None)
    ended = [contract.ends_at for contract in Contract.objects.order_by("pk")]
    assert ended == [AT, None]


def test_mailbox_reopened_before_its_contract_was_ended_has_one_contract(alice, mailbox, cast):
    provisioning.close(
        actor=cast.actor(cast.alice), mailbox=mailbox, grace=timedelta(days=1), at=AT
    )

    alice.post(url("reopen", mailbox))

    assert ordering.end_contracts() == 0
    ended = [contract.ends_at for contract in Contract.objects.order_by("pk")]
    assert ended == [AT, None]


def test_state_changed_meanwhile_is_told(alice, mailbox):
    response = alice.post(url("resume", mailbox), follow=True)

    assert "has changed meanwhile" in text_of(response)


def test_close_needs_the_address(alice, mailbox):
    response = alice.post(url("close", mailbox), {"address": "other@alder.test"})

    assert response.status_code == 422
    mailbox.refresh_from_db()
    assert mailbox.state == "active"


@pytest.mark.parametrize("state", ["suspended", "closing", "pending"])
def test_state_is_told_in_words(alice, mailbox, state):
    Mailbox.objects.filter(pk=mailbox.pk).update(state=state, erase_after=AT)

    for page in ("detail", "state", "set_up"):
        assert alice.get(url(page, mailbox)).status_code == 200


def test_read_only_member_sees_and_changes_nothing(cast, mailbox):
    bob = client_of(cast.bob)

    page = text_of(bob.get(url("detail", mailbox)))
    assert "Your role may look at this mailbox." in page
    assert "Another device" not in page
    for name in ("suspend", "add_app_password", "set_password", "change_quota"):
        data = {
            "label": "x",
            "protocols": ["imap"],
            "gigabytes": "2",
            "password": "long enough words",
        }
        assert bob.post(url(name, mailbox), data).status_code == 403
    assert not AppPassword.objects.exists()


# Domains --------------------------------------------------------------------------------


def test_domain_is_added_for_its_owner(alice, cast, mailbox):
    asked = {"name": "Books.example", "organisation": str(cast.customer.uuid)}

    assert alice.post("/domains/add", asked).status_code == 302
    text = text_of(alice.get("/domains/"))
    assert "books.example Waiting for confirmation 0" in text
    assert "alder.test Confirmed 1 Order a mailbox" in text
    assert "juniper" not in text


@pytest.mark.parametrize("name", HOSTILE_DOMAINS)
def test_domain_refuses_hostile_names_beside_the_field(alice, cast, name):
    asked = {"name": name, "organisation": str(cast.customer.uuid)}

    response = alice.post("/domains/add", asked)

    assert response.status_code == 422
    assert response.context["form"].errors["name"]


def test_domain_of_another_is_refused(alice, cast):
    asked = {"name": "juniper.test", "organisation": str(cast.customer.uuid)}

    assert "in use here already" in text_of(alice.post("/domains/add", asked))


def test_domain_for_a_stranger_is_refused(alice, cast):
    asked = {"name": "new.test", "organisation": str(cast.other_customer.uuid)}

    assert alice.post("/domains/add", asked).status_code == 422


def test_domain_needs_a_role_that_allows_it(cast):
    asked = {"name": "new.test", "organisation": str(cast.customer.uuid)}

    assert "does not allow" in text_of(client_of(cast.bob).post("/domains/add", asked))


# What went wrong ------------------------------------------------------------------------


def test_stale_form_is_told_in_words(cast):
    client = Client(enforce_csrf_checks=True)
    signed_in(cast.alice, client)

    response = client.post("/account/sign-out")

    assert response.status_code == 403
    assert "This form has gone stale" in text_of(response)


def test_pages_lead_nobody_to_what_the_role_does_not_allow(cast, alice, mailbox):
    bob = client_of(cast.bob)
    order_url = reverse("mailboxes:order")
    close_url = reverse("organisations:close", args=[cast.customer.uuid])

    for client, leads in ((alice, True), (bob, False)):
        assert (order_url in client.get("/overview/").content.decode()) is leads
        assert (close_url in client.get("/changes/").content.decode()) is leads


def test_cost_of_a_mailbox_stands_among_the_mailboxes(alice, mailbox):
    page = alice.get(reverse("billing:mailbox", args=[mailbox.uuid])).content.decode()

    assert re.findall(r'<a href="([^"]+)" aria-current="true">', page) == ["/overview/"]
