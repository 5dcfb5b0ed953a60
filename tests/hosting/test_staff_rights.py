"""What support and billing see and change on the staff pages; operators see and change all."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib import admin

from accounts.access import Forbidden
from accounts.models import Event
from hosting import ledger, pricing, staff_rights, vat
from hosting.models import Plan, PriceList, VatRate
from mailstore import cooling, holding, rules
from mailstore.models import RetentionPolicy
from tests.factories import AT, make_mailbox, make_member
from tests.hosting.test_admin import STAFF_PATHS
from tests.staffing import in_role

pytestmark = pytest.mark.django_db(databases=["default", "reports"])

BOTH_SEE = {
    "accounts.factorloss",
    "accounts.notice",
    "accounts.organisation",
    "accounts.user",
    "hosting.brand",
    "hosting.bulkrequest",
    "hosting.contract",
    "hosting.panelhost",
    "hosting.plan",
    "hosting.planchange",
    "mailstore.restriction",
}
SUPPORT_SEES = BOTH_SEE | {
    "accounts.apikey",
    "accounts.checkpoint",
    "accounts.event",
    "accounts.eventcheck",
    "accounts.setback",
    "accounts.signedin",
    "accounts.visit",
    "hosting.clockadvance",
    "hosting.mailboximport",
    "hosting.webhookdelivery",
    "hosting.webhookendpoint",
    "mailstore.alarm",
    "mailstore.apppassword",
    "mailstore.device",
    "mailstore.domain",
    "mailstore.drift",
    "mailstore.guessingalarm",
    "mailstore.hold",
    "mailstore.mailbox",
    "mailstore.pendingchange",
    "mailstore.protocolswitch",
    "mailstore.purgerun",
    "mailstore.quotawarning",
    "mailstore.recount",
    "mailstore.removal",
    "mailstore.restorerun",
    "mailstore.retentionpolicy",
    "mailstore.signin",
}
BILLING_SEES = BOTH_SEE | {
    "hosting.bankimport",
    "hosting.billingprofile",
    "hosting.dunning",
    "hosting.heldoverage",
    "hosting.invoice",
    "hosting.ledgerentry",
    "hosting.monthclose",
    "hosting.openitem",
    "hosting.payment",
    "hosting.price",
    "hosting.pricelist",
    "hosting.providerevent",
    "hosting.refund",
    "hosting.vatrate",
}
SUPPORT_CHANGES = {
    "accounts.visit",
    "hosting.bulkrequest",
    "accounts.notice",
    "accounts.organisation",
    "accounts.signedin",
    "hosting.mailboximport",
    "mailstore.alarm",
    "mailstore.apppassword",
    "mailstore.device",
    "mailstore.domain",
    "mailstore.guessingalarm",
    "mailstore.mailbox",
    "mailstore.pendingchange",
    "mailstore.protocolswitch",
    "mailstore.quotawarning",
    "mailstore.removal",
    "mailstore.restorerun",
    "mailstore.restriction",
    "mailstore.signin",
}
BILLING_CHANGES = (BILLING_SEES - BOTH_SEE) | {"accounts.notice", "hosting.bulkrequest"}
TABLE = {
    "support": (SUPPORT_SEES, SUPPORT_CHANGES),
    "staff_billing": (BILLING_SEES, BILLING_CHANGES),
}
# Where there is no such row, Django leads back from these before it asks who looks.
_WITHOUT_ROW = ("/1/", "/1/history/")
MODELS = {f"{each._meta.app_label}.{each._meta.model_name}" for each in admin.site._registry}


def parts(path):
    return tuple(path.removeprefix("/staff/").split("/"))


def test_every_model_of_the_staff_pages_stands_in_the_table():
    assert set(staff_rights.NEEDS) == MODELS
    assert SUPPORT_SEES | BILLING_SEES == MODELS


@pytest.mark.parametrize("role", TABLE)
def test_each_role_has_the_rights_of_the_table(role, cast):
    user = make_member("tess@example.test", cast.provider, role)
    seen = {each for each in MODELS if user.has_perm(each.replace(".", ".view_"))}
    changed = {
        verb: {each for each in MODELS if user.has_perm(each.replace(".", f".{verb}_"))}
        for verb in ("add", "change", "delete")
    }

    assert seen == TABLE[role][0]
    assert changed == dict.fromkeys(changed, TABLE[role][1])
    assert not user.has_perm("auth.view_group")
    assert not user.has_perm("nonsense")


@pytest.mark.parametrize("role", TABLE)
def test_every_page_of_the_staff_answers_by_role(role, cast, counts):
    client = in_role(cast.sam, role)
    sees = TABLE[role][0]
    wrong = []
    for path in STAFF_PATHS:
        app, model, *_rest = (*parts(path), "", "")
        if f"{app}.{model}" not in MODELS:
            continue
        status = client.get(path).status_code
        leads_on = status == 302 and path.endswith(_WITHOUT_ROW)
        if f"{app}.{model}" not in sees and status not in {403, 405} and not leads_on:
            wrong.append((path, status))
        if path.count("/") == 4 and f"{app}.{model}" in sees and status != 200:
            wrong.append((path, status))
        counts(staff_pages=1)

    assert wrong == []


@pytest.mark.parametrize("role", TABLE)
def test_nothing_is_posted_to_what_a_role_does_not_change(role, cast, counts):
    client = in_role(cast.sam, role)
    before = Event.objects.count()
    wrong = []
    for path in STAFF_PATHS:
        app, model, *_rest = (*parts(path), "", "")
        if f"{app}.{model}" not in MODELS - TABLE[role][1]:
            continue
        status = client.post(path, {"confirmed": "yes"}).status_code
        is_list = path.count("/") == 4
        is_harmless = is_list or path.endswith(_WITHOUT_ROW)
        if status not in {403, 404, 405} and not (is_harmless and status in {200, 302}):
            wrong.append((path, status))
        counts(staff_posts=1)

    assert wrong == []
    assert Event.objects.count() == before


@pytest.mark.parametrize("role", TABLE)
def test_the_first_page_shows_what_the_role_sees(role, cast):
    apps = in_role(cast.sam, role).get("/staff/").context["app_list"]
    shown = {
        f"{app['app_label']}.{model['object_name'].lower()}"
        for app in apps
        for model in app["models"]
    }

    assert shown == TABLE[role][0]


def test_verbs_of_money_refuse_support(cast):
    actor = cast.actor(make_member("tess@example.test", cast.provider, "support"))
    house_list = PriceList.objects.filter(seller=None).first()
    rate = VatRate(country="AT", starts_on=AT.date(), percent=1, is_in_eu=True)
    price = {"plan": Plan.objects.first(), "starts_on": AT.date(), "monthly_price": 1}
    money = {"source": "bank", "amount_minor": 1, "currency": "EUR", "received_on": AT.date()}

    with pytest.raises(Forbidden):
        pricing.succeed(actor=actor, price_list=house_list, at=AT, **price)
    with pytest.raises(Forbidden):
        vat.keep(actor=actor, rate=rate, at=AT)
    with pytest.raises(Forbidden):
        ledger.receive(actor=actor, seller=None, customer=None, at=AT, **money)


@pytest.mark.parametrize("role", ["support", "staff_billing"])
def test_verbs_that_cannot_be_undone_are_for_operators(cast, role):
    tess = make_member("tess@example.test", cast.provider, role)
    actor, mailbox = cast.actor(tess), make_mailbox(cast.domain)
    sam, why = cast.actor(cast.sam), {"reason": "x", "at": AT}
    change = cooling.ask_to_empty_store(
        actor=sam, mailbox=mailbox, until=AT, wait=timedelta(3), at=AT
    )
    hold = holding.place(actor=sam, by=cast.sam, scope=mailbox, matter="x", **why)

    with pytest.raises(Forbidden):
        holding.place(actor=actor, by=tess, scope=mailbox, matter="x", **why)
    with pytest.raises(Forbidden):
        holding.release(actor=actor, by=tess, hold=hold, **why)
    with pytest.raises(Forbidden):
        cooling.shorten(actor=actor, change=change, **why)
    with pytest.raises(Forbidden):
        rules.must_manage(actor, RetentionPolicy.objects.first())
