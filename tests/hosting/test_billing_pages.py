"""What the customer sees of its money, and who sees nothing of it."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts.models import Membership, Organisation
from hosting import billing, forecasting, invoicing, spending
from hosting.models import Contract, Limits, Price, PriceList, Spending
from hosting.periods import Period
from mailstore.models import Mailbox, RetentionPolicy, Usage, UsageDay
from tests.factories import make_domain, make_mailbox, make_member
from tests.hosting.billing_rows import ACTOR, GIGABYTE, counted_queries, make_list, make_profile
from tests.staffing import act, signed_in

pytestmark = [
    pytest.mark.django_db(databases="__all__"),
    pytest.mark.usefixtures("middle_of_the_month"),
]


@pytest.fixture
def middle_of_the_month(monkeypatch):
    """The clock stands where a month has come to something, and does not end just now.

    In its first hours the dearest mailbox comes to less than half a cent.
    """
    month = Period.of(timezone.now())
    moment = month.starts_at + (month.ends_at - month.starts_at) / 2
    monkeypatch.setattr(timezone, "now", lambda: moment)


def client_of(user):
    client = Client()
    signed_in(user, client)
    return client


@pytest.fixture
def alice(cast):
    return client_of(cast.alice)


@pytest.fixture
def rita(cast):
    return client_of(cast.rita)


def text_of(response):
    return " ".join(re.sub(r"<[^>]+>", " ", response.content.decode()).split())


def kept(domain, name, gigabytes=0, protocol="imap"):
    """A mailbox that has kept as much since the month began."""
    period = Period.of(timezone.now())
    mailbox = make_mailbox(domain, name, protocol)
    Contract.objects.filter(mailbox=mailbox).update(
        starts_at=period.starts_at, start_mark=0, end_mark=0
    )
    Mailbox.objects.filter(pk=mailbox.pk).update(created_at=period.starts_at)
    Usage.objects.update_or_create(
        username=mailbox.address, defaults={"bytes": int(gigabytes * GIGABYTE)}
    )
    Usage.objects.filter(username=mailbox.address).update(since=period.start, day_byte_seconds=0)
    mailbox.refresh_from_db()
    return mailbox


def page(client, organisation, query=""):
    return client.get(reverse("billing:detail", args=[organisation.uuid]) + query)


def test_bill_is_explained_line_by_line_with_its_forecast(alice, cast):
    make_profile(cast.reseller)
    make_profile(cast.customer)
    make_list(cast.reseller, is_default=True, imap=("2.50", 5, "0.12"), pop=("1.00", 0, "0"))
    kept(cast.domain, "a", 25)
    kept(cast.domain, "b", protocol="pop")

    text = text_of(page(alice, cast.customer))

    assert "Alder buys from Rowan." in text
    assert "25 GB-months kept, 5 included, 20 above at 0.12 EUR each." in text
    assert "With 20 % VAT (1.18 EUR) 7.08 EUR" in text
    assert "The whole month at 2.50 EUR." in text


def costs(client, mailbox):
    return client.get(reverse("billing:mailbox", args=[mailbox.uuid]))


@pytest.fixture
def prices(cast):
    return make_list(cast.reseller, is_default=True, imap=("2.50", 5, "0.12"), pop=("1.00", 0, "0"))


# The bill of an organisation ------------------------------------------------------------


def test_bill_of_nobody_yet_says_so(alice, cast):
    text = text_of(page(alice, cast.customer))

    assert "Nothing to pay yet" in text
    assert "which rate applies is not known yet" in text


def test_what_is_put_right_is_shown(alice, cast, prices):
    month = Period.of(timezone.now())
    for organisation in (cast.reseller, cast.customer):
        make_profile(organisation)
    mailbox = make_mailbox(cast.domain, "old")
    earlier = month.previous
    Contract.objects.filter(mailbox=mailbox).update(starts_at=earlier.starts_at, start_mark=0)
    invoicing.close_month(actor=ACTOR, period=earlier, at=month.starts_at)
    Contract.objects.filter(mailbox=mailbox).update(
        ends_at=earlier.starts_at + timedelta(hours=1), ended_at=timezone.now()
    )

    text = text_of(page(alice, cast.customer))

    assert "Put right from earlier months old@alder.test" in text
    assert "-2.50 EUR" in text


def test_shared_space_stands_once_over_all_mailboxes(alice, cast, prices):
    make_profile(cast.customer, pools_storage=True)
    kept(cast.domain, "a", 25)
    kept(cast.domain, "b", 1)

    text = text_of(page(alice, cast.customer))

    assert "Space that all mailboxes share" in text
    assert "26 GB-months kept, 10 included, 16 above at 0.12 EUR each." in text
    assert "25 GB-months kept" not in text


def test_pages_hold_each_mailbox_once(alice, cast, prices):
    for number in range(120):
        kept(cast.domain, f"box{number * 7 % 120:03}", 6)

    seen, query = [], ""
    while True:
        found = page(alice, cast.customer, query)
        seen += [entry.address for entry in found.context["entries"]]
        if not found.context["next_after"]:
            break
        query = f"?after={found.context['next_after']}"

    assert seen == [f"box{number:03}@alder.test" for number in range(120)]
    assert found.context["totals"]["whole_text"] == "314.40 EUR"


@pytest.mark.parametrize("after", ["zzz", "é", "'; --", "%"])
def test_lost_place_in_the_list_is_no_mishap(alice, cast, prices, after):
    kept(cast.domain, "a")

    found = alice.get(reverse("billing:detail", args=[cast.customer.uuid]), {"after": after})

    assert found.status_code == 200


@pytest.mark.parametrize("count", [1, 3])
def test_bill_asks_a_fixed_number_of_queries(alice, cast, prices, count):
    for number in range(count):
        kept(cast.domain, f"box{number}", 8)

    with counted_queries() as count_queries:
        page(alice, cast.customer)

    assert count_queries() == 25


@pytest.mark.usefixtures("prices")
@pytest.mark.parametrize("count", [1, 3])
def test_costs_of_a_mailbox_ask_a_fixed_number_of_queries(alice, cast, twin, count):
    boxes = [kept(cast.domain, f"box{number}", 8) for number in range(count)]
    twin.know(boxes[0].address)

    with counted_queries() as count_queries:
        costs(alice, boxes[0])

    assert count_queries() == 31


def test_closed_mailbox_stays_on_the_bill_without_a_page(alice, cast, prices):
    mailbox = kept(cast.domain, "gone", 8)
    Contract.objects.filter(mailbox=mailbox).update(ends_at=timezone.now())
    Mailbox.objects.filter(pk=mailbox.pk).update(state=Mailbox.State.CLOSED)

    found = page(alice, cast.customer)

    assert "gone@alder.test" in text_of(found)
    assert [entry.url for entry in found.context["entries"]] == [""]


def test_organisation_without_prices_has_no_bill(alice, cast, prices):
    PriceList.objects.all().update(is_default=False)

    assert page(alice, cast.customer).status_code == 404
    assert alice.get("/overview/").status_code == 200


def test_overview_shows_a_customer_both_sums(alice, cast, prices):
    kept(cast.domain, "a", 25)

    text = text_of(alice.get("/overview/"))

    assert re.search(r"This month so far \d\.\d\d EUR Forecast of the month 4\.90 EUR", text)


def test_sums_of_a_reseller_follow_its_overview(rita, cast, prices):
    kept(cast.domain, "a", 25)
    summary = reverse("billing:summary", args=[cast.reseller.uuid])

    overview = rita.get("/overview/")
    fragment = text_of(rita.get(summary))

    assert f'hx-get="{summary}"' in overview.content.decode()
    assert "EUR" not in text_of(overview)
    assert re.fullmatch(r"This month so far [\d.]+ EUR Forecast of the month [\d.]+ EUR", fragment)


# Who sees which bill --------------------------------------------------------------------


def test_owner_comes_to_the_one_bill_at_once(alice, cast):
    answer = alice.get(reverse("billing:home"))

    assert answer.headers["Location"] == reverse("billing:detail", args=[cast.customer.uuid])


def test_role_without_bills_sees_no_amount_anywhere(cast, prices, twin):
    mailbox = kept(cast.domain, "a", 25)
    twin.know(mailbox.address)
    bob = client_of(cast.bob)

    pages = [
        bob.get(path)
        for path in (
            "/overview/",
            reverse("billing:home"),
            reverse("mailboxes:detail", args=[mailbox.uuid]),
            reverse("mailboxes:retention", args=[mailbox.uuid]),
        )
    ]

    assert all(found.status_code == 200 for found in pages)
    assert all("EUR" not in text_of(found) for found in pages)
    assert all(b'href="/billing/' not in found.content for found in pages)
    assert "Your role does not show what things cost" in text_of(pages[1])
    for path in (
        reverse("billing:detail", args=[cast.customer.uuid]),
        reverse("billing:mailbox", args=[mailbox.uuid]),
    ):
        assert bob.get(path).status_code == 403


def test_billing_role_sees_and_sets_nothing(cast, prices):
    dora = client_of(make_member("dora@example.test", cast.customer, Membership.Role.BILLING))

    found = page(dora, cast.customer)
    answer = dora.post(reverse("billing:set_own_cap", args=[cast.customer.uuid]), {"amount": "5"})

    assert found.status_code == 200
    assert b"Set the cap" not in found.content
    assert answer.status_code == 403


def test_staff_find_every_buyer_by_name(cast):
    for number in range(55):
        Organisation.objects.create(
            kind=Organisation.Kind.CUSTOMER, name=f"Client {number}", parent=cast.provider
        )
    sam = client_of(cast.sam)

    first = sam.get(reverse("billing:home"), {"q": "client"})
    after = first.context["next_after"]
    second = sam.get(reverse("billing:home"), {"q": "client", "after": after})
    lost = sam.get(reverse("billing:home"), {"after": "9" * 40})

    assert [len(found.context["organisations"]) for found in (first, second)] == [50, 5]
    assert second.context["next_after"] == ""
    assert "Restante" not in [str(each) for each in lost.context["organisations"]]
    for hostile in ("zzz", "%_'"):
        none = sam.get(reverse("billing:home"), {"q": hostile})
        assert "Nobody of that name" in text_of(none)


def test_member_of_two_organisations_chooses(cast):
    Membership.objects.create(user=cast.alice, organisation=cast.other_customer, role="owner")

    found = client_of(cast.alice).get(reverse("billing:home"))

    assert [str(each) for each in found.context["organisations"]] == ["Alder", "Juniper"]


def test_provider_itself_gets_no_bill(cast):
    assert page(client_of(cast.sam), cast.provider).status_code == 404


def test_siblings_see_nothing_of_each_other(cast, prices):
    sibling = Organisation.objects.create(
        kind=Organisation.Kind.CUSTOMER, name="Hazel", parent=cast.reseller
    )
    hazel = client_of(make_member("hazel@example.test", sibling, Membership.Role.OWNER))
    mailbox = kept(cast.domain, "a")
    month = Period.of(timezone.now())

    for path in (
        reverse("billing:detail", args=[cast.customer.uuid]),
        reverse("billing:usage", args=[cast.customer.uuid, month]),
        reverse("billing:mailbox", args=[mailbox.uuid]),
        reverse("billing:mailbox_usage", args=[mailbox.uuid, month]),
        reverse("billing:customers", args=[cast.reseller.uuid]),
        reverse("billing:detail", args=[cast.reseller.uuid]),
    ):
        assert hazel.get(path).status_code == 404


def test_wholesale_prices_never_reach_a_customer(alice, cast, prices, twin):
    """Planted where they could leak: prices, amounts and the name of the list."""
    wholesale = PriceList.objects.get(audience="wholesale", is_default=True)
    PriceList.objects.filter(pk=wholesale.pk).update(name="Wh0lesale")
    Price.objects.filter(price_list=wholesale).update(monthly_price="0.777777")
    Price.objects.filter(price_list=wholesale, storage_price__gt=0).update(storage_price="0.055555")
    mailbox = kept(cast.domain, "a", 105)
    twin.know(mailbox.address)
    month = Period.of(timezone.now())
    paths = [
        "/overview/",
        reverse("billing:home"),
        reverse("billing:detail", args=[cast.customer.uuid]),
        reverse("billing:usage", args=[cast.customer.uuid, month]),
        reverse("billing:mailbox", args=[mailbox.uuid]),
        reverse("billing:mailbox_usage", args=[mailbox.uuid, month]),
        reverse("mailboxes:retention", args=[mailbox.uuid]),
        reverse("rules:detail", args=["organisation", cast.customer.uuid]),
        "/mailboxes/order",
    ]

    for path in paths:
        answer = alice.get(path, follow=True)
        text = answer.getvalue().decode()
        assert answer.status_code == 200
        # The whole month wholesale: 0.78 and 100 GB at 0.055555.
        assert not re.search(r"Wh0lesale|0\.7777|0\.0555|0\.78|5\.56|6\.34", text), path
    assert "6.34 EUR" in text_of(page(client_of(cast.rita), cast.reseller))


# The spend cap --------------------------------------------------------------------------


def set_cap(client, name, organisation, amount):
    path = reverse(f"billing:{name}", args=[organisation.uuid])
    return client.post(path, {"amount": amount}, follow=True)


def test_owner_sets_a_cap_and_sees_how_far_it_is_used(alice, cast, prices):
    kept(cast.domain, "a", 25)

    answer = set_cap(alice, "set_own_cap", cast.customer, "4.905")
    assert answer.status_code == 422
    answer = set_cap(alice, "set_own_cap", cast.customer, "5.90")

    text = text_of(answer)
    assert "The spend cap was changed." in text
    assert "of 5.90 EUR used" in text
    assert "100 %: owners get an e-mail" in text
    assert set_cap(alice, "set_own_cap", cast.customer, "").status_code == 200
    assert Limits.objects.get().cap_minor is None


def test_alerts_that_were_sent_are_marked(alice, cast, prices):
    kept(cast.domain, "a", 25)
    set_cap(alice, "set_own_cap", cast.customer, "5.90")
    spending.watch(at=timezone.now())

    cap = page(alice, cast.customer).context["cap"]

    told = Spending.objects.get().told_percent
    assert [each["percent"] for each in cap["alerts"] if each["state"] == "told"] == [
        each for each in spending.THRESHOLDS if each <= told
    ]


def test_cap_from_above_is_named_and_cannot_be_raised(alice, rita, cast, prices):
    kept(cast.domain, "a", 25)

    assert "was changed" in text_of(set_cap(rita, "set_cap_above", cast.customer, "3"))

    assert "Rowan has set this cap" in text_of(page(alice, cast.customer))
    refused = set_cap(alice, "set_own_cap", cast.customer, "4")
    assert refused.status_code == 422
    assert "your own cap cannot be above that" in text_of(refused)


@pytest.mark.parametrize("amount", ["x", "1e99", "-1", "0", "NaN", "99999999999", "1.001"])
def test_nonsense_sets_no_cap(alice, cast, prices, amount):
    answer = set_cap(alice, "set_own_cap", cast.customer, amount)

    assert answer.status_code == 422
    assert not Limits.objects.exclude(own_cap_minor=None).exists()


def test_cap_of_zero_is_used_up(rita, cast, prices):
    set_cap(rita, "set_cap_above", cast.customer, "0")

    assert page(rita, cast.customer).context["cap"]["percent"] == 100


def test_forecast_that_goes_beyond_the_cap_is_said(alice, cast, prices):
    kept(cast.domain, "a", 25)
    whole = forecasting.forecast(
        billing.buyer(Organisation.objects.select_related("parent").get(pk=cast.customer.pk)),
        at=timezone.now(),
    ).whole_minor
    Limits.objects.create(organisation=cast.customer, own_cap_minor=whole)

    assert "reached before the month ends" in text_of(page(alice, cast.customer))


# Files ----------------------------------------------------------------------------------


def test_file_is_streamed_and_named(alice, cast, prices):
    kept(cast.domain, "a", 25)
    month = Period.of(timezone.now())

    answer = alice.get(reverse("billing:usage", args=[cast.customer.uuid, month]))

    assert answer.streaming
    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
    name = f"usage-{month}-alder.csv"
    assert answer.headers["Content-Disposition"] == f'attachment; filename="{name}"'
    assert answer.getvalue().startswith(b'"month","month_seconds"')


@pytest.mark.parametrize("month", ["2026-13", "0000-01", "2999-01", "26-1", "2026-1"])
def test_month_that_cannot_be_asked_is_not_found(alice, cast, prices, month):
    answer = alice.get(f"/billing/{cast.customer.uuid}/usage/{month}.csv")

    assert answer.status_code == 404


# One mailbox ----------------------------------------------------------------------------


@pytest.fixture
def filled(cast, prices, twin):
    """25 GB on the meter; the twin's letters are small, so prices are per byte and high."""
    mailbox = kept(cast.domain, "a", 0)
    twin.know(mailbox.address)
    twin.create_mailbox(user=mailbox.address, folders=[*mailbox.special_folders, "Junk/Old"])
    account = twin.accounts[mailbox.address]
    for folder, size in (("INBOX", 100), ("Junk", 3000), ("Junk/Old", 1000), ("Archive", 50)):
        account.folders[folder].append(b"x" * size)
    Usage.objects.filter(username=mailbox.address).update(bytes=account.used_bytes)
    period = Period.of(timezone.now())
    Usage.objects.filter(username=mailbox.address).update(since=period.start, day_byte_seconds=0)
    Price.objects.filter(price_list=prices, plan__slug="imap").update(
        storage_price=100_000, included_bytes=50
    )
    return mailbox


def test_folders_say_what_their_absence_saves(alice, filled):
    found = costs(alice, filled)

    folders = {each["name"]: each for each in found.context["folders"]}
    assert list(folders) == ["Inbox", "Sent", "Junk", "Trash", "Other folders"]
    assert folders["Junk"]["bytes"] == 4000
    assert folders["Junk"]["monthly_text"] == "0.40 EUR"
    assert folders["Other folders"]["bytes"] == 50
    assert not folders["Sent"]["costs"]
    text = text_of(found)
    assert re.search(r"Clear Junk now and save 0\.\d\d EUR this month, 0\.40 EUR in a full", text)
    rule = reverse("mailboxes:retention", args=[filled.uuid]) + "?folder=Junk"
    assert rule in found.content.decode()
    assert 'value="Junk"' in alice.get(rule).content.decode()


def test_nothing_is_offered_where_nothing_is_saved(alice, cast, prices, twin):
    mailbox = kept(cast.domain, "a", 1)
    twin.know(mailbox.address)

    assert "Clear" not in text_of(costs(alice, mailbox))


def test_costs_are_shown_while_the_mail_server_is_away(alice, filled, twin):
    twin.is_down = True

    text = text_of(costs(alice, filled))

    assert "The mail server cannot be asked about the folders" in text
    assert "Use over time" in text
    assert "As POP, as IMAP" in text


def test_use_over_time_has_words_and_numbers(alice, cast, prices, twin):
    mailbox = kept(cast.domain, "a", 3)
    twin.know(mailbox.address)

    found = costs(alice, mailbox).content.decode()

    assert "Space by day: 3 GB on 1" in found
    assert "at most 3 GB" in found
    assert found.count("<polyline") == 1


def test_use_of_whoever_had_the_address_before_is_not_shown(alice, cast, prices, twin):
    mailbox = kept(cast.domain, "a", 3)
    twin.know(mailbox.address)
    Mailbox.objects.filter(pk=mailbox.pk).update(created_at=timezone.now() - timedelta(days=1))

    found = costs(alice, mailbox)

    assert len(found.context["chart"]["days"]) == 2


def test_growing_mailbox_says_when_it_is_full(alice, cast, prices, twin):
    mailbox = kept(cast.domain, "a", 3)
    twin.know(mailbox.address)
    born = timezone.now() - timedelta(days=20)
    Mailbox.objects.filter(pk=mailbox.pk).update(created_at=born)
    today = int(timezone.now().timestamp()) // 86_400
    UsageDay.objects.filter(username=mailbox.address).delete()
    for number in range(1, 11):
        UsageDay.objects.create(
            username=mailbox.address,
            day=today - number,
            byte_seconds=(3 * GIGABYTE - number * GIGABYTE // 10) * 86_400,
        )
    Usage.objects.filter(username=mailbox.address).update(since=today * 86_400)

    assert "the limit of 10 GB is reached in about 70 days" in text_of(costs(alice, mailbox))


def test_pop_mailbox_is_priced_as_both(alice, cast, prices, twin):
    mailbox = kept(cast.domain, "a", 0.5, "pop")
    twin.know(mailbox.address)

    found = costs(alice, mailbox)

    assert "Holds up to 1 GB: all of your mail fits." in text_of(found)
    assert [
        (each["protocol"], each["is_now"], each["this_month_text"])
        for each in found.context["alternatives"]
    ] == [("pop", True, "1.00 EUR"), ("imap", False, "2.50 EUR")]


def test_what_does_not_fit_is_said(alice, cast, prices, twin):
    mailbox = kept(cast.domain, "a", 9)
    twin.know(mailbox.address)

    text = text_of(costs(alice, mailbox))

    assert "Holds 1 GB at most: 8 GB of your mail would not fit." in text


def test_shared_space_is_mentioned_on_the_mailbox(alice, cast, prices, twin):
    make_profile(cast.customer, pools_storage=True)
    mailbox = kept(cast.domain, "a", 25)
    twin.know(mailbox.address)

    text = text_of(costs(alice, mailbox))

    assert "charged once for all mailboxes together" in text
    assert "may make it cheaper" in text


# Resellers ------------------------------------------------------------------------------


def test_reseller_pages_through_customers_and_margin(rita, cast, prices):
    kept(cast.domain, "a", 25)
    for number in range(60):
        Organisation.objects.create(
            kind=Organisation.Kind.CUSTOMER, name=f"Client {number:02}", parent=cast.reseller
        )
    path = reverse("billing:customers", args=[cast.reseller.uuid])

    first = rita.get(path)
    second = rita.get(path, {"after": first.context["next_after"]})

    rows = [*first.context["rows"], *second.context["rows"]]
    assert [len(found.context["rows"]) for found in (first, second)] == [50, 11]
    assert [row["name"] for row in rows] == ["Alder", *(f"Client {n:02}" for n in range(60))]
    assert b"Customers and margin" in page(rita, cast.reseller).content
    assert rita.get(path, {"after": "nonsense"}).context["rows"] == first.context["rows"]


def tabs(response):
    text = response.content.decode()
    return re.findall(
        r"<a [^>]*>([^<]+)</a>", text.partition('aria-label="Billing"')[2].partition("</nav>")[0]
    )


def test_the_margin_is_a_tab_of_billing_for_who_has_customers(rita, alice, cast):
    margin = reverse("billing:customers", args=[cast.reseller.uuid])
    places = [reverse(f"billing:{name}") for name in ("invoices", "issued")]
    places += [margin, reverse("billing:profile", args=[cast.reseller.uuid])]

    shown = [rita.get(place) for place in places] + [page(rita, cast.reseller)]

    names = ["This month", "Invoices", "Issued", "Customers and margin", "Billing details"]
    assert [tabs(each) for each in shown] == [names] * 5
    assert all(f'href="{margin}"' in each.content.decode() for each in shown)
    assert f'href="{margin}" aria-current="page"' in shown[2].content.decode()
    assert tabs(alice.get(places[0])) == ["This month", "Invoices", "Billing details"]


def test_with_two_resellers_each_has_its_margin_on_its_own_page(rita, cast):
    second = Organisation.objects.create(kind="reseller", name="Hazel", parent=cast.provider)
    Membership.objects.create(user=cast.rita, organisation=second, role=Membership.Role.OWNER)

    assert "Customers and margin" not in tabs(rita.get(reverse("billing:invoices")))
    for reseller in (cast.reseller, second):
        own = page(rita, reseller).content.decode()
        assert reverse("billing:customers", args=[reseller.uuid]) in own


def test_loss_and_other_currencies_show_in_the_margin(rita, cast):
    make_list(cast.reseller, is_default=True, imap=("0.01", 5, "0"))
    kept(cast.domain, "a")
    sibling = Organisation.objects.create(
        kind=Organisation.Kind.CUSTOMER, name="Hazel", parent=cast.reseller
    )
    dollars = make_list(cast.reseller, currency="USD", imap=("9", 0, "0"))
    make_profile(sibling, price_list=dollars)
    kept(make_domain("hazel.test", sibling), "b")

    found = rita.get(reverse("billing:customers", args=[cast.reseller.uuid]))

    alder, hazel = found.context["rows"]
    assert alder["is_loss"]
    assert hazel["left_text"] == ""
    assert " + " in found.context["totals"]["retail_text"]
    assert found.context["totals"]["left_text"] == ""


def test_customer_of_nobody_below_has_no_margin_page(rita, cast):
    path = reverse("billing:customers", args=[cast.customer.uuid])

    assert rita.get(path).status_code == 404


# What rules save ------------------------------------------------------------------------


def age(twin, mailbox, days):
    """Everything in Junk arrived so long ago."""
    folder = twin.accounts[mailbox.address].folders["Junk"]
    folder.kept = [
        replace(each, saved_at=timezone.now() - timedelta(days=days)) for each in folder.kept
    ]


def test_rules_say_what_a_month_costs_less(alice, cast, filled, twin):
    age(twin, filled, 40)

    own = text_of(alice.get(reverse("mailboxes:retention", args=[filled.uuid])))
    asked = {"folder": "Junk", "days": "10", "counted_from": "arrival", "try": "yes"}
    tried = alice.post(reverse("mailboxes:set_rule", args=[filled.uuid]), asked)
    scope = reverse("rules:set", args=["organisation", cast.customer.uuid])
    over_all = alice.post(scope, asked)

    assert "a month costs 0.30 EUR less at today's price" in own.replace("&#x27;", "'")
    for found in (tried, over_all):
        assert "a month costs 0.30 EUR less" in text_of(found)


def test_staff_read_of_a_policy_what_customers_read_of_their_rules(staff, filled, twin):
    age(twin, filled, 40)
    asked = {"folder": "\\Junk", "days": "10", "counted_from": "arrival"}
    policy = RetentionPolicy.objects.get(slug="imap")

    page = act(
        staff, "set_rule", policy, path="/staff/mailstore/retentionpolicy/", foresee="yes", **asked
    )

    [table] = page.context["tables"]
    assert table.note == "Without all that goes then, a month costs its owners 0.30 EUR less."
    assert table.note in page.content.decode()


def test_shorter_window_says_that_it_saves_nothing(alice, cast, filled):
    admin = client_of(make_member("dora@example.test", cast.customer, Membership.Role.ADMIN))
    path = reverse("mailboxes:set_window", args=[filled.uuid])

    own, others = (c.post(path, {"window_days": "5", "try": "yes"}) for c in (alice, admin))

    assert "Your bill stays the same" in text_of(own)
    assert "bill" not in text_of(others).split("What 5 days would do")[1].split("Folder by")[0]


def test_rules_say_nothing_of_money_to_others(cast, filled, twin):
    age(twin, filled, 40)
    admin = client_of(make_member("dora@example.test", cast.customer, Membership.Role.ADMIN))

    own = admin.get(reverse("mailboxes:retention", args=[filled.uuid]))
    asked = {"folder": "Junk", "days": "10", "counted_from": "arrival", "try": "yes"}
    tried = admin.post(reverse("rules:set", args=["organisation", cast.customer.uuid]), asked)

    assert "go within 60 days" in text_of(own)
    for found in (own, tried):
        assert "EUR" not in text_of(found)
