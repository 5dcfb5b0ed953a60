"""No mailbox for nothing: what has no price, or is not sold, is refused at every door."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.core.management import call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from hosting import importing, ordering, pricing, public_ids, selling
from hosting.models import Contract, Plan, Price, PriceList
from mailstore.models import Mailbox
from tests.factories import AT, make_domain, make_mailbox
from tests.hosting.api.caller import Caller, make_key
from tests.hosting.billing_rows import ACTOR, make_list
from tests.staffing import MAILBOXES, signed_in

pytestmark = pytest.mark.django_db(databases="__all__")


def order(domain, slug="imap", at=AT):
    plan = Plan.objects.get(slug=slug)
    return ordering.order(actor=ACTOR, domain=domain, local_part="new", plan=plan, at=at)


@pytest.fixture
def unpriced(cast):
    """The reseller sells at prices of its own, and has none for IMAP."""
    make_list(cast.reseller, is_default=True, pop=("1.50", 0, "0"))
    yield cast
    assert not Mailbox.objects.exists()
    assert not Contract.objects.exists()


@pytest.fixture
def off_sale(cast):
    """A plan that was taken off sale after somebody had read of it."""
    Plan.objects.filter(slug="imap").update(is_on_sale=False)
    yield cast
    assert not Mailbox.objects.exists()


def by_api(cast, path, body):
    return Caller(make_key(cast.reseller).secret).post(path, body)


def asked(cast):
    domain = public_ids.encode("dom", cast.domain.uuid)
    return {"domain_id": domain, "local_part": "new", "plan": "imap"}


def test_verb_refuses(unpriced):
    with pytest.raises(pricing.NoPrice, match=r"IMAP has no price on Agreed \(EUR\) yet"):
        order(unpriced.domain)


def test_page_refuses(unpriced):
    form = {"domain": "alder.test", "local_part": "new", "protocol": "imap"}

    page = signed_in(unpriced.alice).post(reverse("mailboxes:order"), form)

    assert page.status_code == 422


def test_api_refuses(unpriced):
    answer = by_api(unpriced, "/mailboxes", asked(unpriced))

    assert (answer.status_code, answer.json()["code"]) == (409, "wrong-state")
    assert answer.json()["detail"] == "IMAP has no price on Agreed (EUR) yet."


@pytest.mark.parametrize("query", ["", "?dry_run=true"])
def test_batch_refuses(query, unpriced):
    item = {"key": "k", "operation": "create_mailbox", "body": asked(unpriced)}

    answer = by_api(unpriced, f"/batch{query}", {"items": [item]})

    assert answer.status_code == 422
    [fault] = answer.json()["errors"]
    assert (fault["pointer"], fault["code"]) == ("/items/0/body/plan", "wrong-state")


def test_list_of_mailboxes_refuses(unpriced):
    checked = importing.check(text="address,plan\nnew@alder.test,imap\n", actor=ACTOR)

    assert not checked.rows
    [problem] = checked.problems
    assert (problem.line, problem.column) == (2, "plan")
    assert problem.message == "IMAP has no price on Agreed (EUR) yet."


def test_list_that_was_checked_before_the_price_was_gone_opens_nothing(cast):
    rows = importing.check(text="address,plan\nnew@alder.test,imap\n", actor=ACTOR).rows
    make_list(cast.reseller, is_default=True, pop=("1.50", 0, "0"))

    [applied] = importing.apply(rows=rows, actor=ACTOR, at=AT)

    assert [problem.column for problem in applied.problems] == ["plan"]
    assert not Mailbox.objects.exists()


def test_command_refuses(unpriced, tmp_path, capsys):
    file = tmp_path / "list.csv"
    file.write_text("address,plan\nnew@alder.test,imap\n")

    with pytest.raises(SystemExit):
        call_command("import_mailboxes", str(file))
    assert "line 2, plan: IMAP has no price on Agreed (EUR) yet." in capsys.readouterr().err


def test_staff_page_refuses(unpriced, staff):
    form = {
        "domain": unpriced.domain.pk,
        "local_part": "new",
        "plan": Plan.objects.get(slug="imap").pk,
        "label": "",
    }

    page = staff.post(f"{MAILBOXES}add/", form)

    assert page.context["adminform"].form.errors == {
        "plan": ["IMAP has no price on Agreed (EUR) yet."]
    }


def test_verb_refuses_what_is_not_on_sale(off_sale):
    with pytest.raises(selling.NotOnSale, match="IMAP is not on sale any more"):
        order(off_sale.domain)


def test_plan_that_is_taken_off_sale_on_the_way_is_refused_at_the_page(cast, monkeypatch):
    offers = ordering.offers

    def slow_offers(*args, **options):
        found = offers(*args, **options)
        for price in found.values():
            price.plan.is_on_sale = False
        return found

    monkeypatch.setattr(ordering, "offers", slow_offers)
    form = {"domain": "alder.test", "local_part": "new", "protocol": "imap"}
    page = signed_in(cast.alice).post(reverse("mailboxes:order"), form)

    assert page.status_code == 422
    assert page.context["form"].errors == {"protocol": ["IMAP is not on sale any more."]}


def test_reseller_that_would_pay_nothing_for_it_sells_nothing(cast):
    wholesale = PriceList.objects.get(audience="wholesale")
    Price.objects.filter(price_list=wholesale, plan__slug="imap").delete()

    with pytest.raises(pricing.NoPrice, match="IMAP has no price for Alder yet"):
        order(cast.domain)
    assert order(cast.other_domain)


def test_price_that_has_not_begun_is_none(cast):
    Price.objects.filter(plan__slug="imap").update(starts_on=AT.date() + timedelta(days=1))

    with pytest.raises(pricing.NoPrice):
        order(cast.domain)
    assert order(cast.domain, at=AT + timedelta(days=1))


def test_house_pays_nobody_for_its_own(cast):
    Price.objects.filter(plan__slug="imap").delete()

    assert order(make_domain("house.test", cast.provider))


def test_what_many_may_order_is_told_in_one_query(cast):
    plans = list(Plan.objects.all())
    organisations = [cast.customer, cast.other_customer, cast.reseller]

    with CaptureQueriesContext(connection) as captured:
        shelf = selling.Shelf(organisations, plans=plans, at=AT)
        for organisation in organisations:
            for plan in plans:
                shelf.check(organisation, plan)

    assert len(captured) == 1


def test_change_to_a_plan_that_costs_the_reseller_nothing_is_refused(cast):
    mailbox = make_mailbox(cast.domain, protocol="pop")
    wholesale = PriceList.objects.get(audience="wholesale")
    Price.objects.filter(price_list=wholesale, plan__slug="imap").delete()
    key = Caller(make_key(cast.reseller).secret)
    place = f"/mailboxes/{public_ids.encode('mbx', mailbox.uuid)}/change-plan?preview=true"

    answer = key.post(place, {"plan": "imap"})

    assert (answer.status_code, answer.json()["code"]) == (409, "wrong-state")
