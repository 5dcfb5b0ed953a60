"""The staff pages: who gets in, what they show, and that every change goes through a verb."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib import admin
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connections
from django.db.models.signals import pre_save
from django.forms import modelform_factory
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import URLPattern, URLResolver, get_resolver
from django.utils import timezone

from accounts import checkpoints, membership, setbacks, verifying, visits
from accounts.access import system
from accounts.models import (
    Authenticator,
    Event,
    FactorLoss,
    Membership,
    Notice,
    Organisation,
    SignedIn,
    User,
)
from accounts.second_factor import authenticators
from accounts.staff import StaffAdmin
from hosting import bulk, invoicing, ledger, tasks
from hosting.admin.lists import UploadedListAdmin
from hosting.admin.parties import AskingForm
from hosting.invoicing import reviewing
from hosting.models import (
    BankImport,
    Contract,
    Dunning,
    Invoice,
    Limits,
    MailboxImport,
    MonthClose,
    Plan,
    PlanChange,
    ProviderEvent,
    VatRate,
)
from hosting.paying import refunding
from hosting.webhooks import endpoints, feeding
from mailstore import credentials, standing
from mailstore.models import (
    Alarm,
    AppPassword,
    Device,
    Domain,
    Drift,
    GuessingAlarm,
    Hold,
    Mailbox,
    PendingChange,
    ProtocolSwitch,
    PurgeRun,
    QuotaWarning,
    Recount,
    Removal,
    RestoreRun,
    Restriction,
    SignIn,
    Usage,
)
from tests.corpus import HOSTILE_DOMAINS, HOSTILE_LOCAL_PARTS
from tests.factories import AT, make_domain, make_mailbox
from tests.hosting.api.caller import make_key
from tests.hosting.billing_rows import OCTOBER, make_profile, sold
from tests.hosting.brand_rows import make_brand, make_host
from tests.hosting.ledger_rows import make_bill, paid
from tests.hosting.simulated import ask, make_test_customer
from tests.staffing import (
    MAILBOXES,
    act,
    by_password_alone,
    facts,
    in_role,
    lines_of,
    said,
    verified,
)

pytestmark = pytest.mark.django_db(databases=["default", "reports"])

IMPORTS = "/staff/hosting/mailboximport/"


def state_of(mailbox):
    return Mailbox.objects.get(pk=mailbox.pk).state


# Who gets in ----------------------------------------------------------------------------


def staff_patterns(patterns=None, prefix="/staff/"):
    if patterns is None:
        [patterns] = [
            each.url_patterns
            for each in get_resolver().url_patterns
            if isinstance(each, URLResolver) and each.namespace == "admin"
        ]
    for each in patterns:
        path = prefix + str(each.pattern)
        if isinstance(each, URLResolver):
            yield from staff_patterns(each.url_patterns, path)
        elif isinstance(each, URLPattern):
            yield path


STAFF_PATHS = sorted(
    {
        path.replace("<path:object_id>", "1").replace("<int:pk>", "1").replace("<id>", "1")
        for path in staff_patterns()
        if "(" not in path and "<int:content_type_id>" not in path
    }
)


def test_walk_over_staff_pages_finds_them():
    assert {"/staff/", MAILBOXES, f"{MAILBOXES}export/", f"{IMPORTS}1/start/"} < set(STAFF_PATHS)
    assert len(STAFF_PATHS) > 60


@pytest.mark.parametrize("method", ["get", "post"])
def test_no_staff_page_opens_without_a_second_factor(cast, method):
    sam, nobody = Client(), Client()
    by_password_alone(cast.sam, sam)
    for path in STAFF_PATHS:
        by_sam, by_nobody = getattr(sam, method)(path), getattr(nobody, method)(path)
        assert by_sam.status_code == by_nobody.status_code == 302, path
        assert by_sam.headers["Location"].startswith("/account/second-factor/?next="), path
        assert by_nobody.headers["Location"].startswith("/account/sign-in?next="), path


@pytest.mark.parametrize("person", ["alice", "bob", "charlie", "rita"])
def test_no_staff_page_opens_for_a_customer_even_with_a_second_factor(cast, person):
    client = verified(getattr(cast, person))
    for path in STAFF_PATHS:
        if path in {"/staff/login/", "/staff/logout/", "/staff/jsi18n/"}:
            continue
        response = client.get(path)
        assert response.status_code == 302, path
        assert response.headers["Location"].startswith("/staff/login/"), path


def test_staff_without_rights_see_that_they_have_none(cast):
    client = in_role(cast.sam, "staff_billing")

    assert client.get(MAILBOXES).status_code == 403
    assert client.get(f"{MAILBOXES}export/").status_code == 403
    assert client.get(f"{IMPORTS}add/").status_code == 403


def test_staff_flags_without_a_role_open_nothing(cast):
    Membership.objects.filter(user=cast.sam).delete()
    client = in_role(cast.sam, "none")

    assert client.get("/staff/").context["app_list"] == []
    for path in (MAILBOXES, "/staff/accounts/user/", "/staff/hosting/invoice/"):
        assert client.get(path).status_code == 403


# What the pages show --------------------------------------------------------------------


def one_of_each_safeguard(cast, mailbox):
    """Rows of retention, recovery and the tripwire."""
    Hold.objects.create(
        mailbox=mailbox, matter="Case 7", reason="Court", placed_by=cast.sam, placed_at=AT
    )
    PurgeRun.objects.create(
        mailbox=mailbox,
        kind="retention",
        planned_at=AT,
        planned_by="retention",
        rules=[{"layer": "the plan", "folder": "*", "days": None}],
    )
    RestoreRun.objects.create(mailbox=mailbox, planned_at=AT, planned_by=cast.alice.email)
    Alarm.objects.create(mailbox=mailbox, at=AT, since=AT, messages=9, bytes=900, reason="x")
    PendingChange.objects.create(
        organisation=cast.customer, kind="close", sentence="x", asked_at=AT, effective_at=AT
    )
    Recount.objects.create(started_at=AT, finished_at=AT, looked_at=1)
    Drift.objects.create(username=mailbox.address, since=1, until=2, noted_bytes=3, true_bytes=4)
    Removal.objects.create(
        mailbox=mailbox,
        folder="INBOX",
        service="imap",
        session="s",
        device="-",
        address="192.0.2.7",
        uids="1:9",
        messages=9,
        bytes=900,
        began_at=AT,
        ended_at=AT,
    )


def what_signs_in(cast, mailbox):
    """A device and an hour of it, and a session of somebody, whose key opens it."""
    seen = {"credential": "-", "protocol": "imap", "first_at": AT, "last_at": AT, "sign_ins": 1}
    Device.objects.create(mailbox=mailbox, last_address="192.0.2.7", **seen)
    SignIn.objects.create(
        mailbox=mailbox, hour_at=AT, address="192.0.2.7", outcome="signed_in", **seen
    )
    browser = verified(cast.alice)
    return browser.session.session_key


def one_of_each_payment(cast):
    """Rows of the ledger, with a bill that is partly paid, and a refund."""
    payment = paid(500, customer=cast.other_customer, source="stripe", external_id="pi_1")
    bill = make_bill(cast.other_customer, 1000)
    ledger.match(actor=system("tests"), payment=payment, invoice=bill, amount_minor=300, at=AT)
    refunding.ask(actor=system("tests"), payment=payment, amount_minor=100, reason="x", at=AT)
    ProviderEvent.objects.create(
        event_id="evt_1", name="x", data={}, state="failed", received_at=AT, retry_at=AT
    )
    BankImport.objects.create(
        file_name="x.csv", content="planted text", created_by=cast.sam, state="finished"
    )


def a_bill(cast):
    """What a month leaves behind, and whom its bill is between."""
    for organisation in (cast.provider, cast.other_customer):
        make_profile(organisation)
    sold(cast.other_domain, "billed", "pop")
    invoicing.close_month(actor=system("tests"), period=OCTOBER, at=OCTOBER.ends_at)
    bill = Invoice.objects.last()
    found = reviewing.Unusual(amount_minor=900, usual_minor=100)
    reviewing.hold(bill=bill, found=found, actor=system("tests"), at=OCTOBER.ends_at)


def one_change_of_plan(mailbox):
    ProtocolSwitch.objects.create(mailbox=mailbox, protocol="pop", at=AT, by="x")
    PlanChange.objects.create(
        mailbox=mailbox,
        old_plan=Plan.objects.get(slug="imap"),
        new_plan=Plan.objects.get(slug="pop"),
        old_quota_bytes=10**10,
        old_window_days=30,
        at=AT,
        by="x",
    )


def secrets_of_programs(cast):
    """Those of a key, and of an endpoint that was told something."""
    key = make_key(cast.customer)
    hook = endpoints.make(
        actor=system("tests"), organisation=cast.customer, url="https://192.0.2.1/", at=AT
    )
    endpoints.ping(actor=system("tests"), endpoint=hook.endpoint, at=AT)
    feeding.feed_all(at=AT)
    return [key.secret, key.api_key.digest, hook.secret, hook.endpoint.secrets.get().sealed]


@pytest.fixture
def full_house(cast, staff, settings):
    """One of everything, with every secret that could leak."""
    settings.ALLOW_PRIVATE_WEBHOOKS = True
    mailbox = make_mailbox(cast.domain)
    actor = system("tests")
    issued = credentials.issue(actor=actor, mailbox=mailbox, label="Phone", at=AT)
    secret = "a password of the mailbox"
    credentials.set_mailbox_password(actor=actor, mailbox=mailbox, password=secret, at=AT)
    QuotaWarning.objects.create(mailbox=mailbox, percent=80, used_bytes=8, quota_bytes=10, at=AT)
    GuessingAlarm.objects.create(mailbox=mailbox, began_at=AT, noticed_at=AT)
    text = "address,plan,label\nlisted@alder.test,imap,planted text\n"
    MailboxImport.objects.create(file_name="x.csv", content=text, created_by=cast.sam)
    one_of_each_payment(cast)
    device = Authenticator.objects.get(user=cast.sam)
    mailbox.refresh_from_db()
    one_of_each_safeguard(cast, mailbox)
    a_bill(cast)
    one_change_of_plan(mailbox)
    debtor = cast.other_customer
    Dunning.objects.create(customer=debtor, began_at=AT, due_on=AT.date())
    ask(make_test_customer(cast.provider), seconds=60)
    Restriction.objects.create(
        organisation=debtor, cause="debt", state="past_due", reason="Late", imposed_at=AT
    )
    with setbacks.apart(work="dunning", row_id=1, name="Juniper", organisation=debtor, at=AT):
        raise ValueError
    Notice.objects.create(to="alice@example.test", name="test_message", created_at=AT)
    bulk.draft(
        actor=membership.actor_for(cast.sam),
        deed=bulk.DEEDS["suspend_mailboxes"],
        chosen=[(mailbox.pk, mailbox.address)],
        at=timezone.now(),
    )
    visits.begin(
        actor=membership.actor_for(cast.sam), organisation=debtor, reason="They asked", at=AT
    )
    make_brand(cast.reseller)
    make_host(cast.reseller)
    checkpoints.write(at=AT)
    verifying.sweep(at=AT, every=timedelta(days=7))
    FactorLoss.objects.create(
        user=cast.alice, asked_at=AT, due_at=AT + timedelta(days=3), told_at=AT
    )
    return [
        what_signs_in(cast, mailbox),
        *secrets_of_programs(cast),
        issued.secret,
        issued.app_password.digest,
        mailbox.password_hash,
        mailbox.password_hash.rpartition("$")[2],
        cast.sam.password,
        cast.alice.password,
        cast.alice.password.rpartition("$")[2],
        device.sealed_secret,
        authenticators.secret_text(device),
        "planted text",
    ]


def pages_of(model):
    """Every page about one model: its list, one row of it, its history, and what is taken away."""
    base = f"/staff/{model._meta.app_label}/{model._meta.model_name}/"
    row = model.objects.order_by("pk").last()
    yield from (base, f"{base}?q=a", f"{base}{row.pk}/change/", f"{base}{row.pk}/history/")
    if admin.site._registry[model].csv_columns:
        yield f"{base}export/"


OURS = [model for model, each in admin.site._registry.items() if isinstance(each, StaffAdmin)]


def test_all_that_staff_need_is_there_and_nothing_else():
    assert set(OURS) == set(admin.site._registry)
    assert {model.__name__ for model in OURS} == {
        "Organisation",
        "User",
        "Event",
        "Checkpoint",
        "EventCheck",
        "FactorLoss",
        "Domain",
        "Mailbox",
        "AppPassword",
        "Device",
        "SignIn",
        "SignedIn",
        "QuotaWarning",
        "GuessingAlarm",
        "Hold",
        "PurgeRun",
        "RetentionPolicy",
        "RestoreRun",
        "Removal",
        "Alarm",
        "PendingChange",
        "ProtocolSwitch",
        "Restriction",
        "Dunning",
        "Plan",
        "Price",
        "PlanChange",
        "Contract",
        "MailboxImport",
        "BankImport",
        "Payment",
        "OpenItem",
        "LedgerEntry",
        "ProviderEvent",
        "Refund",
        "BillingProfile",
        "Invoice",
        "MonthClose",
        "HeldOverage",
        "PriceList",
        "VatRate",
        "Recount",
        "Drift",
        "Setback",
        "Notice",
        "ApiKey",
        "Brand",
        "PanelHost",
        "WebhookEndpoint",
        "WebhookDelivery",
        "ClockAdvance",
        "BulkRequest",
        "Visit",
    }


@pytest.mark.parametrize("model", OURS)
def test_staff_page_opens_and_shows_no_secret(staff, full_house, model):
    for page in pages_of(model):
        response = staff.get(page, follow=True)
        text = response.getvalue().decode()

        assert response.status_code == 200, page
        assert [secret for secret in full_house if secret in text] == [], page


@pytest.mark.parametrize("model", OURS)
def test_list_counts_nothing_and_skips_over_nothing(staff, full_house, model):
    base = f"/staff/{model._meta.app_label}/{model._meta.model_name}/"
    for query in ("", "?q=a", "?after=9", "?before=0"):
        with CaptureQueriesContext(connections["default"]) as queries:
            assert staff.get(base + query).status_code == 200
        text = " ".join(each["sql"].upper() for each in queries)
        assert "COUNT(" not in text
        assert "OFFSET" not in text


@pytest.mark.parametrize("model", OURS)
def test_nothing_is_deleted_here(staff, full_house, model):
    base = f"/staff/{model._meta.app_label}/{model._meta.model_name}/"
    row = model.objects.order_by("pk").last()
    before = model.objects.count()

    assert staff.post(f"{base}{row.pk}/delete/", {"post": "yes"}).status_code == 403
    act(staff, "delete_selected", row, path=base, post="yes")

    assert model.objects.count() == before
    assert b"delete_selected" not in staff.get(base).content


@pytest.mark.parametrize(
    "model",
    [
        Event,
        Contract,
        Recount,
        Drift,
        AppPassword,
        Device,
        SignIn,
        SignedIn,
        QuotaWarning,
        PurgeRun,
        RestoreRun,
        Removal,
        Alarm,
        PendingChange,
        Invoice,
        MonthClose,
    ],
)
def test_what_the_house_writes_is_only_read(staff, full_house, model):
    base = f"/staff/{model._meta.app_label}/{model._meta.model_name}/"
    row = model.objects.order_by("pk").last()

    assert staff.post(f"{base}{row.pk}/change/", {"label": "x", "kind": "x"}).status_code == 403
    assert staff.post(f"{base}add/", {"label": "x"}).status_code == 403


@pytest.mark.parametrize("model", OURS)
def test_no_form_offers_every_row_there_is(staff, full_house, cast, model):
    Organisation.objects.create(kind="customer", name="Planted", parent=cast.provider)
    make_domain("planted.test", cast.customer)
    make_mailbox(cast.domain, "planted")
    base = f"/staff/{model._meta.app_label}/{model._meta.model_name}/"
    row = model.objects.order_by("pk").first()
    for page in (f"{base}add/", f"{base}{row.pk}/change/"):
        text = staff.get(page).getvalue().decode()
        assert "Planted</option>" not in text
        assert "planted.test</option>" not in text
        assert "planted@alder.test</option>" not in text


@pytest.mark.parametrize("count", [1, 3])
def test_list_of_mailboxes_takes_five_queries_however_many_there_are(staff, cast, count):
    for number in range(count):
        make_mailbox(cast.domain, f"box{number}")

    # The session, the user, the device, the mailboxes; the reports lie in another file.
    with CaptureQueriesContext(connections["default"]) as queries:
        staff.get(MAILBOXES)
    assert len(queries) == 4
    with CaptureQueriesContext(connections["reports"]) as queries:
        staff.get(MAILBOXES)
    assert len(queries) == 1


def shown(response):
    return [mailbox.local_part for mailbox in response.context["cl"].result_list]


def test_pages_follow_each_other_by_key_in_both_directions(staff, cast, monkeypatch):
    monkeypatch.setattr(admin.site._registry[Mailbox], "list_per_page", 2)
    for number in range(5):
        make_mailbox(cast.domain, f"box{number}")

    first = staff.get(MAILBOXES)
    second = staff.get(MAILBOXES + first.context["cl"].next_url)
    make_mailbox(cast.domain, "late")
    third = staff.get(MAILBOXES + second.context["cl"].next_url)
    back = staff.get(MAILBOXES + third.context["cl"].previous_url)
    front = staff.get(MAILBOXES + back.context["cl"].previous_url)

    assert [shown(each) for each in (first, second, third, back, front)] == [
        ["box4", "box3"],
        ["box2", "box1"],
        ["box0"],
        ["box2", "box1"],
        ["box4", "box3"],
    ]
    assert (first.context["cl"].previous_url, third.context["cl"].next_url) == ("", "")
    assert shown(staff.get(MAILBOXES + front.context["cl"].previous_url)) == ["late"]


def test_paging_keeps_search_and_filter(staff, cast, monkeypatch):
    monkeypatch.setattr(admin.site._registry[Mailbox], "list_per_page", 1)
    for number in range(3):
        make_mailbox(cast.domain, f"box{number}", "pop")
    make_mailbox(cast.domain, "box9")

    page = staff.get(f"{MAILBOXES}?q=box&protocol__exact=pop")
    following = staff.get(MAILBOXES + page.context["cl"].next_url)

    assert (shown(page), shown(following)) == (["box2"], ["box1"])


@pytest.mark.parametrize("key", ["x", "-1", "1.5", "", "٣", "9" * 30, "1 OR 1=1"])
def test_page_after_no_key_leads_back_to_the_list(staff, cast, key):
    response = staff.get(MAILBOXES, {"after": key})

    assert (response.status_code, response.headers["Location"]) == (302, f"{MAILBOXES}?e=1")
    assert staff.get(f"{MAILBOXES}export/", {"after": key}).status_code == 302


def test_search_finds_by_how_the_address_begins(staff, cast):
    make_mailbox(cast.domain, "desk")
    make_mailbox(cast.other_domain, "hello")

    assert shown(staff.get(MAILBOXES, {"q": "HELLO@Jun"})) == ["hello"]
    assert shown(staff.get(MAILBOXES, {"q": "juniper"})) == []
    assert shown(staff.get(MAILBOXES, {"q": "%_"})) == []
    assert staff.get(MAILBOXES, {"q": "nul\0nul"}).status_code == 400


def test_export_is_the_list_with_its_filter_and_holds_no_formula(staff, cast):
    for number, label in enumerate(("=HYPERLINK(1)", "+1", "-1", "@SUM(1)", "\tx", "Desk")):
        Mailbox.objects.filter(pk=make_mailbox(cast.domain, f"b{number}").pk).update(label=label)
    make_mailbox(cast.domain, "imported", "pop")
    Usage.objects.create(username="b5@alder.test", bytes=7, messages=1)

    header, *lines = lines_of(staff.get(f"{MAILBOXES}export/?protocol__exact=imap"))

    assert header[:5] == ["address", "plan", "label", "quota_bytes", "used_bytes"]
    assert [line[2] for line in lines] == [
        "Desk",
        "'\tx",
        "'@SUM(1)",
        "'-1",
        "'+1",
        "'=HYPERLINK(1)",
    ]
    assert lines[0][:2] + lines[0][4:8] == ["b5@alder.test", "imap", "7", "imap", "active", "Alder"]


def test_export_goes_beyond_one_page_with_few_queries(staff, cast, monkeypatch):
    monkeypatch.setattr(admin.site._registry[Mailbox], "list_per_page", 2)
    for number in range(7):
        make_mailbox(cast.domain, f"box{number}")
    response = staff.get(f"{MAILBOXES}export/")

    assert response.streaming
    with CaptureQueriesContext(connections["default"]) as queries:
        assert len(lines_of(response)) == 8
    # Seven mailboxes in one piece, their contracts, and the look for a piece after it.
    assert len(queries) == 3


def test_export_of_events_holds_their_data(staff, cast):
    make_mailbox(cast.domain)

    header, *lines = lines_of(staff.get("/staff/accounts/event/export/?q=mailbox.created"))

    line = dict(zip(header, lines[0], strict=True))
    assert line["subject_name"] == "hello@alder.test"
    assert line["data"].startswith('{"protocol": "imap"')


@pytest.mark.parametrize(("about", "kinds"), [("domain", {"domain"}), ("mailbox", {"mailbox"})])
def test_events_are_narrowed_by_what_they_are_about(staff, cast, about, kinds):
    make_mailbox(cast.domain)

    rows = staff.get("/staff/accounts/event/", {"about": about}).context["cl"].result_list

    assert {event.subject_kind for event in rows} == kinds


# Mailboxes ------------------------------------------------------------------------------


def test_limit_is_previewed_before_it_is_changed(staff, cast):
    roomy, tight = make_mailbox(cast.domain), make_mailbox(cast.domain, "tight")
    Usage.objects.create(username=tight.address, bytes=3 * 10**9, messages=1)
    old_bytes = roomy.quota_bytes

    asked = act(staff, "change_limit", roomy, tight)
    shown_page = act(staff, "change_limit", roomy, tight, gigabytes="2.5")

    assert "Limit in GB" in asked.content.decode()
    notes = {each.mailbox.address: each.note for each in shown_page.context["changes"]}
    assert notes == {
        roomy.address: "",
        tight.address: "Full at once: new mail is put off, nothing is removed.",
    }
    assert set(Mailbox.objects.values_list("quota_bytes", flat=True)) == {old_bytes}
    response = act(staff, "change_limit", roomy, tight, gigabytes="2.5", confirmed="yes")
    assert said(response) == ["Mailboxes with the new limit: 2."]
    assert set(Mailbox.objects.values_list("quota_bytes", flat=True)) == {2_500_000_000}
    assert Event.objects.filter(kind="mailbox.updated", actor_name=cast.sam.email).count() == 2


@pytest.mark.parametrize("typed", ["", "0", "-1", "x", "1e99", "NaN", "100001", "0.0000000001"])
def test_impossible_limit_is_refused_beside_its_field(staff, cast, typed):
    mailbox = make_mailbox(cast.domain)

    response = act(staff, "change_limit", mailbox, gigabytes=typed, confirmed="yes")

    assert response.context["form"].errors["gigabytes"]
    assert Mailbox.objects.get().quota_bytes == mailbox.quota_bytes


def ask_the_price(client, domain, name, plan="imap", label="", **more):
    fields = {"domain": domain.pk, "local_part": name, "label": label}
    fields |= {"plan": Plan.objects.get(slug=plan).pk, **more}
    return client.post(f"{MAILBOXES}add/", fields, follow=True)


def order(client, domain, name, plan="imap", label=""):
    return ask_the_price(client, domain, name, plan, label, confirmed="yes")


def test_staff_place_an_order_for_whoever_owns_the_domain(staff, cast):
    order(staff, cast.domain, "Postmaster", label="For all")

    mailbox = Mailbox.objects.get()
    assert (mailbox.address, mailbox.organisation) == ("postmaster@alder.test", cast.customer)
    assert (mailbox.label, Contract.objects.get().plan.slug) == ("For all", "imap")
    assert facts("mailbox.created") == [("postmaster@alder.test", cast.sam.email)]


def test_staff_see_the_price_before_they_order(staff, cast):
    page = ask_the_price(staff, cast.domain, "Desk", label="<b>", _addanother="1")

    cost = page.context["cost"]
    assert (cost.full_month.after_text, cost.full_month.after_minor) == ("2.50 EUR", 250)
    assert 0 <= cost.this_month.after_minor <= 250
    assert cost.this_month.after_text in page.content.decode()
    assert (Mailbox.objects.count(), Event.objects.filter(kind="mailbox.created").count()) == (0, 0)

    carried = dict(page.context["posted"])
    assert (carried["label"], carried["_addanother"]) == ("<b>", "1")
    assert b'value="&lt;b&gt;"' in page.content
    done = staff.post(f"{MAILBOXES}add/", carried | {"confirmed": "yes"})
    assert done.headers["Location"] == f"{MAILBOXES}add/"
    assert (Mailbox.objects.get().address, Mailbox.objects.get().label) == (
        "desk@alder.test",
        "<b>",
    )


def test_price_is_refused_as_the_order_would_be(staff, cast):
    Limits.objects.create(organisation=cast.customer, mailboxes=0)

    page = ask_the_price(staff, cast.domain, "desk")

    assert said(page) == ["Alder may have 0 mailboxes, and has them."]


def test_support_orders_without_a_word_of_money(cast):
    support = in_role(cast.sam, "support")

    page = ask_the_price(support, cast.domain, "desk")

    assert Mailbox.objects.get().address == "desk@alder.test"
    # Without its space, the word may be a part of a random token of the page.
    assert b" EUR" not in page.content


def test_billing_staff_order_nothing_and_see_no_price(cast):
    billing = in_role(cast.sam, "staff_billing")

    assert ask_the_price(billing, cast.domain, "desk").status_code == 403
    assert not Mailbox.objects.exists()


def test_nobody_pays_for_a_mailbox_of_the_house(staff, cast):
    own = make_domain("house.test", cast.provider)

    page = ask_the_price(staff, own, "desk")

    assert b"Nobody gets a bill for it." in page.content


@pytest.mark.parametrize("name", HOSTILE_LOCAL_PARTS)
def test_hostile_name_is_refused_beside_its_field(staff, cast, name):
    response = order(staff, cast.domain, name)

    assert list(response.context["adminform"].errors) == ["local_part"]
    assert not Mailbox.objects.exists()


def test_taken_address_and_unconfirmed_domain_are_refused(staff, cast):
    make_mailbox(cast.domain)
    waiting = make_domain("alder.example", cast.customer)

    taken = order(staff, cast.domain, "HELLO")
    unconfirmed = order(staff, waiting, "hello")

    assert taken.context["adminform"].errors == {"local_part": ["This address is taken."]}
    assert list(unconfirmed.context["adminform"].errors) == ["domain"]
    assert Mailbox.objects.count() == 1


def test_only_the_label_of_a_mailbox_is_edited(staff, cast):
    mailbox = make_mailbox(cast.domain)
    path = f"{MAILBOXES}{mailbox.pk}/change/"

    staff.post(path, {"label": "New", "quota_bytes": "1", "address": "x@alder.test"})
    staff.post(path, {"label": "New"})

    found = Mailbox.objects.get()
    assert (found.label, found.quota_bytes, found.address) == (
        "New",
        mailbox.quota_bytes,
        mailbox.address,
    )
    [fact] = Event.objects.filter(kind="mailbox.updated")
    assert fact.data == {"label": {"old": "", "new": "New"}}


# Domains, app passwords, organisations, people --------------------------------------------


def test_domain_is_confirmed_by_its_verb(staff, cast):
    domain = make_domain("alder.example", cast.customer)
    path = "/staff/mailstore/domain/"

    act(staff, "confirm", domain, path=path)
    act(staff, "confirm", domain, path=path)

    assert Domain.objects.get(pk=domain.pk).state == "confirmed"
    assert facts("domain.verified") == [("alder.example", cast.sam.email)]


def add_domain(client, name, organisation):
    fields = {"name": name, "organisation": organisation.pk}
    return client.post("/staff/mailstore/domain/add/", fields, follow=True)


def test_domain_is_added_by_its_verb(staff, cast):
    add_domain(staff, "bücher.test", cast.customer)
    again = add_domain(staff, "xn--bcher-kva.test", cast.customer)

    domain = Domain.objects.get(name="xn--bcher-kva.test")
    assert (domain.organisation, domain.state) == (cast.customer, "confirmed")
    assert again.context["adminform"].errors == {"name": ["This domain is in use here already."]}
    assert ("xn--bcher-kva.test", cast.sam.email) in facts("domain.added")


@pytest.mark.parametrize("name", HOSTILE_DOMAINS)
def test_hostile_domain_is_refused_beside_its_field(staff, cast, name):
    before = Domain.objects.count()

    response = add_domain(staff, name, cast.customer)

    assert list(response.context["adminform"].errors) == ["name"]
    assert Domain.objects.count() == before


def test_app_password_is_revoked_by_its_verb(staff, cast):
    mailbox = make_mailbox(cast.domain)
    issued = credentials.issue(actor=system("tests"), mailbox=mailbox, label="Phone", at=AT)

    passwords = "/staff/mailstore/apppassword/"
    act(staff, "revoke", issued.app_password, path=passwords)
    assert AppPassword.objects.get(pk=issued.app_password.pk).revoked_at is None
    act(staff, "revoke", issued.app_password, path=passwords, confirmed="yes")

    assert AppPassword.objects.get().revoked_at is not None
    assert facts("app_password.revoked") == [("Phone", cast.sam.email)]


def test_test_organisation_is_shown_as_such_and_stays_one(staff, cast):
    base = "/staff/accounts/organisation/"
    trial = make_test_customer(cast.provider, "Trial of Birch")

    found = staff.get(base, {"is_test__exact": "1"}).getvalue().decode()
    staff.post(f"{base}{trial.pk}/change/", {"name": "Trial of Elm"})

    trial.refresh_from_db()
    assert "Trial of Birch" in found
    assert cast.customer.name not in found
    assert (trial.name, trial.is_test) == ("Trial of Elm", True)


def test_only_a_customer_is_made_for_testing(staff, cast):
    base = "/staff/accounts/organisation/"
    fields = {"name": "Elm", "parent": cast.provider.pk, "is_test": "on"}

    refused = staff.post(f"{base}add/", {**fields, "kind": "reseller"}).getvalue().decode()
    staff.post(f"{base}add/", {**fields, "kind": "customer"})

    assert "Only customers can be there for testing." in refused
    made = Organisation.objects.get(name="Elm")
    assert (made.kind, made.is_test) == ("customer", True)


def test_staff_add_no_name_to_a_test_organisation_that_could_be_owned(staff, cast):
    trial = make_test_customer(cast.provider)

    refused = add_domain(staff, "birch.example", trial).getvalue().decode()
    add_domain(staff, "birch.test", trial)

    assert "take a name that ends with .test or .localhost" in refused
    assert list(trial.domains.values_list("name", flat=True)) == ["birch.test"]


def test_organisation_leaves_an_event_and_keeps_its_place(staff, cast):
    base = "/staff/accounts/organisation/"
    fields = {"name": "Birch", "kind": "customer", "parent": cast.reseller.pk}
    staff.post(f"{base}add/", fields)
    birch = Organisation.objects.get(name="Birch")
    staff.post(f"{base}{birch.pk}/change/", {"name": "Beech", "parent": cast.provider.pk})
    orphan = staff.post(f"{base}add/", {"name": "Orphan", "kind": "customer", "parent": ""})

    birch.refresh_from_db()
    assert (birch.name, birch.parent) == ("Beech", cast.reseller)
    assert facts("organisation.created")[-1] == ("Birch", cast.sam.email)
    assert facts("organisation.updated") == [("Beech", cast.sam.email)]
    assert orphan.status_code == 200
    assert not Organisation.objects.filter(name="Orphan").exists()


@pytest.fixture
def meanwhile():
    """Calls a work just before the page writes a row of a model, as somebody else would."""
    receivers = []

    def do(sender, work):
        def receive(**_kwargs):
            pre_save.disconnect(receive, sender=sender)
            work()

        receivers.append((receive, sender))
        pre_save.connect(receive, sender=sender)

    yield do
    for receive, sender in receivers:
        pre_save.disconnect(receive, sender=sender)


def test_renaming_an_organisation_leaves_what_others_changed_meanwhile(staff, cast, meanwhile):
    def stop():
        standing.impose(
            actor=system("tests"),
            organisation=Organisation.objects.select_related("parent").get(pk=cast.customer.pk),
            cause="abuse",
            state="suspended",
            stops={"sign_in": "shut"},
            reason="x",
            at=AT,
        )

    meanwhile(Organisation, stop)
    staff.post(f"/staff/accounts/organisation/{cast.customer.pk}/change/", {"name": "Beech"})

    cast.customer.refresh_from_db()
    assert (cast.customer.name, cast.customer.state) == ("Beech", "suspended")
    assert cast.customer.sign_in == "shut"


def test_renaming_somebody_leaves_what_others_changed_meanwhile(staff, cast, meanwhile):
    alice = User.objects.get(pk=cast.alice.pk)
    meanwhile(User, lambda: User.objects.filter(pk=alice.pk).update(is_active=False))

    staff.post(f"/staff/accounts/user/{alice.pk}/change/", people_fields(alice, name="Alice Alder"))

    alice.refresh_from_db()
    assert (alice.name, alice.is_active) == ("Alice Alder", False)


def people_fields(user, *, rows=(), **changes):
    given = Membership.objects.filter(user=user).order_by("pk")
    fields = {
        "email": user.email,
        "name": user.name,
        "is_active": "on",
        "memberships-TOTAL_FORMS": len(given) + len(rows),
        "memberships-INITIAL_FORMS": len(given),
    }
    for number, each in enumerate(given):
        prefix = f"memberships-{number}-"
        fields |= {
            f"{prefix}id": each.pk,
            f"{prefix}user": user.pk,
            f"{prefix}organisation": each.organisation_id,
            f"{prefix}role": each.role,
        }
    for number, (organisation, role) in enumerate(rows, start=len(given)):
        prefix = f"memberships-{number}-"
        fields |= {
            f"{prefix}user": user.pk,
            f"{prefix}organisation": organisation.pk,
            f"{prefix}role": role,
        }
    return fields | changes


def test_roles_and_rights_are_not_given_on_the_page_of_a_user(staff, cast):
    path = f"/staff/accounts/user/{cast.alice.pk}/change/"
    forged = people_fields(cast.alice, is_staff="on", is_superuser="on", is_active="")

    staff.post(path, forged | {"memberships-0-role": "read_only"})
    staff.post(path, people_fields(cast.alice, rows=[(cast.provider, "operator")]))

    alice = User.objects.get(pk=cast.alice.pk)
    assert (alice.is_staff, alice.is_superuser, alice.is_active) == (False, False, True)
    assert list(Membership.objects.filter(user=alice).values_list("role")) == [("owner",)]
    assert f"/people/{cast.customer.uuid}/" in staff.get(path).content.decode()


@pytest.mark.parametrize("role", ["support", "staff_billing"])
def test_only_operators_change_people(cast, role):
    client, path = in_role(cast.sam, role), f"/staff/accounts/user/{cast.alice.pk}/"

    assert client.get(f"{path}change/").status_code == 200
    assert client.post(f"{path}change/", people_fields(cast.alice, name="x")).status_code == 403
    assert client.get(f"{path}password/").status_code == 403
    assert client.get("/staff/accounts/user/add/").status_code == 403
    act(client, "shut_out", cast.alice, path="/staff/accounts/user/")
    assert User.objects.get(pk=cast.alice.pk).is_active


def test_people_are_shut_out_and_let_in_again(staff, cast):
    users = "/staff/accounts/user/"

    seen = act(staff, "shut_out", cast.alice, cast.bob, path=users, foresee="yes")
    refused = [
        act(staff, "shut_out", *people, path=users, confirmed="yes").content.decode()
        for people in ([cast.alice], [cast.sam])
    ]
    none_yet = User.objects.filter(is_active=False).exists()
    meant = {"confirmed": "yes", "leaves_unanswered": "on"}
    act(staff, "shut_out", cast.alice, path=users, **meant)
    states = [User.objects.get(pk=each.pk).is_active for each in (cast.alice, cast.sam)]
    waiting = staff.get("/staff/").content.decode()
    back = act(staff, "let_in_again", cast.alice, path=users)

    assert [row.cells[0] for row in seen.context["tables"][0].rows] == [cast.customer]
    assert "alone answers for Alder" in refused[0]
    assert "last operator" in refused[1]
    assert not none_yet
    assert states == [False, True]
    assert "Organisations for which nobody answers" in waiting
    assert "Let in again: 1." in said(back)[0]
    assert facts("user.shut_out") == [(cast.alice.email, cast.sam.email)]
    assert facts("user.let_in_again") == [(cast.alice.email, cast.sam.email)]


def test_person_is_added_and_given_a_password(staff, cast):
    password = {"password1": "five plain words are fine", "password2": "five plain words are fine"}
    fields = {"email": "Dora@Example.test", "name": "Dora", "usable_password": "true"}
    staff.post("/staff/accounts/user/add/", fields | password)
    dora = User.objects.get(name="Dora")
    other = dict.fromkeys(password, "six other plain words here")
    staff.post(f"/staff/accounts/user/{dora.pk}/password/", other | {"usable_password": "true"})

    dora.refresh_from_db()
    assert dora.email == "dora@example.test"
    assert dora.check_password("six other plain words here")
    assert [name for name, _by in facts("user.created")] == [dora.email]
    assert [name for name, _by in facts("user.password_set")] == [dora.email]


# Lists of mailboxes ----------------------------------------------------------------------


def upload(client, content, name="list.csv"):
    content = content if isinstance(content, bytes) else content.encode()
    return client.post(f"{IMPORTS}add/", {"file": SimpleUploadedFile(name, content)}, follow=True)


LIST = """address,plan,label,quota_bytes
a@alder.test,imap,Desk,
b@alder.test,gold,,
../c@alder.test,pop,,
"""


def test_list_is_previewed_started_and_watched(staff, cast):
    page = upload(staff, LIST)
    listed = MailboxImport.objects.get()
    problems = [(each.line, each.column) for each in page.context["problems"]]
    assert (page.context["good_count"], problems) == (1, [(3, "plan"), (4, "address")])
    assert not Mailbox.objects.exists()

    running = staff.post(f"{IMPORTS}{listed.pk}/start/", follow=True)
    assert running.context["is_running"]
    assert b"<progress" in running.content
    assert b'hx-trigger="every' in running.content
    assert b"Look again" in running.content
    tasks.run_import(import_id=listed.pk)
    done = staff.get(f"{IMPORTS}{listed.pk}/progress/")

    assert [mailbox.address for mailbox in Mailbox.objects.all()] == ["a@alder.test"]
    assert b"hx-trigger" not in done.content
    assert b"Look again" not in done.content
    assert facts("mailbox.created") == [("a@alder.test", cast.sam.email)]
    lines = lines_of(staff.get(f"{IMPORTS}{listed.pk}/problems/"))
    assert [line[:2] for line in lines] == [["line", "column"], ["3", "plan"], ["4", "address"]]


def test_list_says_what_it_would_cost_to_staff_who_see_money(staff, cast):
    text = "address,plan\na@alder.test,imap\nb@alder.test,pop\n"
    page = upload(staff, text)
    [total] = page.context["totals"]

    support = upload(in_role(cast.sam, "support"), text)

    assert (total.currency, total.full_month_text) == ("EUR", "3.50 EUR")
    assert b"3.50 EUR" in page.content
    assert not support.context["totals"]
    assert b" EUR" not in support.content


def test_list_is_left_alone(staff, cast):
    upload(staff, LIST)
    listed = MailboxImport.objects.get()

    preview = lines_of(staff.get(f"{IMPORTS}{listed.pk}/problems/"))
    staff.post(f"{IMPORTS}{listed.pk}/cancel/")
    started = staff.post(f"{IMPORTS}{listed.pk}/start/", follow=True)
    cancelled = staff.post(f"{IMPORTS}{listed.pk}/cancel/", follow=True)

    assert len(preview) == 3
    refusal = ["The list has changed meanwhile, so this cannot be done now."]
    assert said(started) == said(cancelled) == refusal
    assert MailboxImport.objects.get().state == "cancelled"
    assert not Mailbox.objects.exists()


def test_only_who_uploaded_a_list_starts_it(staff, cast):
    upload(staff, LIST)
    listed = MailboxImport.objects.get()
    root = verified(User.objects.create_superuser("root@example.test", "x"))

    page = root.get(f"{IMPORTS}{listed.pk}/change/")
    response = root.post(f"{IMPORTS}{listed.pk}/start/", follow=True)

    assert b"/start/" not in page.content
    assert said(response) == ["Only who uploaded a list can start it."]
    assert MailboxImport.objects.get().state == "checked"


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "The submitted file is empty."),
        (b" ", "Line 1: The list is empty."),
        (b"address,plan\ncaf\xe9", "Line 2: This is not UTF-8. Save the list as “CSV UTF-8”."),
        (b"address,plan\n\0", "Line 2: There is a NUL here, so this is not a text."),
        (b"address,plan\n", "Line 1: There is no line below the first one."),
        (b"x" * 5_000_001, "The file has more than 5 MB. Use the command."),
        (b"address,plan,app_password\na@alder.test,imap,Phone\n", "Line 1: App passwords cannot"),
    ],
)
def test_file_that_is_no_list_is_refused_beside_its_field(staff, cast, content, why):
    response = upload(staff, content)

    [message] = response.context["form"].errors["file"]
    assert message.startswith(why)
    assert not MailboxImport.objects.exists()


@pytest.mark.parametrize("name", HOSTILE_LOCAL_PARTS)
def test_hostile_name_in_a_list_is_named_with_line_and_column(staff, cast, name):
    if "\0" in name:
        assert upload(staff, f'address,plan\n"{name}@alder.test",imap\n').context["form"].errors
        return
    quoted = name.replace('"', '""')

    page = upload(staff, f'address,plan\n"{quoted}@alder.test",imap\n')

    assert [(each.line, each.column) for each in page.context["problems"]] == [(2, "address")]
    assert page.context["good_count"] == 0


@pytest.mark.parametrize("name", ["../../etc/passwd", "<script>alert(1)</script>.csv", "a" * 300])
def test_name_of_the_file_is_text_and_nothing_else(staff, cast, name):
    page = upload(staff, LIST, name=name)

    assert b"<script>alert" not in page.content
    assert len(MailboxImport.objects.get().file_name) <= 255


@pytest.mark.parametrize("key", ["x", "0", "9" * 19, "٣", "-1"])
def test_list_that_is_nowhere_is_not_found(staff, cast, key):
    assert staff.get(f"{IMPORTS}{key}/change/").status_code in {302, 404}


def test_nothing_starts_by_reading(staff, cast):
    upload(staff, LIST)
    listed = MailboxImport.objects.get()
    for what in ("start", "cancel"):
        assert staff.get(f"{IMPORTS}{listed.pk}/{what}/").status_code == 405
    for what in ("progress", "problems"):
        assert staff.post(f"{IMPORTS}{listed.pk}/{what}/").status_code == 405
    assert MailboxImport.objects.get().state == "checked"


def test_forms_need_their_own_token(staff, cast):
    strict = Client(enforce_csrf_checks=True)
    strict.cookies = staff.cookies
    mailbox = make_mailbox(cast.domain)

    assert act(strict, "suspend", mailbox).status_code == 403
    assert upload(strict, LIST).status_code == 403
    assert state_of(mailbox) == "active"


def test_a_page_or_form_that_lacks_its_verbs_is_not_made():
    page = type("Half", (UploadedListAdmin,), {})
    form = modelform_factory(VatRate, form=AskingForm, fields=["country"])

    with pytest.raises(TypeError, match="abstract"):
        page(MailboxImport, admin.site)
    with pytest.raises(TypeError, match="abstract"):
        form()
