"""Limits along the tree, and the alerts on the way to a spend cap."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts import notices
from accounts.models import Event, Organisation
from hosting import importing, limits, ordering, pricing, spending
from hosting.models import Contract, Limits, Plan, Spending
from mailstore import domains, provisioning
from mailstore.models import Mailbox, Usage
from tests.factories import make_domain, make_mailbox
from tests.hosting.billing_rows import ACTOR, GIGABYTE, make_list, moment, sold, used

pytestmark = pytest.mark.django_db(databases=["default", "reports"])

NOW = moment(16)


def order(domain, name, plan="imap"):
    return ordering.order(
        actor=ACTOR,
        domain=domain,
        local_part=name,
        plan=Plan.objects.get(slug=plan),
        at=NOW,
    )


def make_customer(name, parent):
    kind = Organisation.Kind.CUSTOMER
    return Organisation.objects.create(kind=kind, name=name, parent=parent)


def limit(organisation, **most):
    return Limits.objects.create(organisation=organisation, **most)


def test_count_of_mailboxes_is_a_limit_and_what_closes_takes_no_place(cast):
    limit(cast.customer, mailboxes=2)
    order(cast.domain, "a")
    second = order(cast.domain, "b")

    with pytest.raises(limits.LimitReached, match="Alder may have 2 mailboxes, and has them"):
        order(cast.domain, "c")
    assert Mailbox.objects.count() == 2
    assert Contract.objects.count() == 2

    Mailbox.objects.filter(pk=second.pk).update(state=Mailbox.State.CLOSING)
    order(cast.domain, "c")


def test_limit_of_a_reseller_holds_for_all_its_customers_together(cast):
    limit(cast.reseller, mailboxes=2)
    sibling = make_domain("hazel.test", make_customer("Hazel", cast.reseller))
    order(cast.domain, "a")
    order(sibling, "b")

    for domain in (cast.domain, sibling):
        with pytest.raises(limits.LimitReached, match="Rowan may have 2 mailboxes"):
            order(domain, "c")


def test_domains_are_counted(cast):
    limit(cast.customer, domains=2)
    ordering.add_domain(actor=ACTOR, organisation=cast.customer, name="two.test", at=NOW)

    with pytest.raises(limits.LimitReached, match="may have 2 domains"):
        ordering.add_domain(actor=ACTOR, organisation=cast.customer, name="three.test", at=NOW)
    with pytest.raises(domains.DomainTaken):
        ordering.add_domain(actor=ACTOR, organisation=cast.other_customer, name="two.test", at=NOW)


def test_space_is_counted_by_use_and_not_by_what_was_allowed(cast):
    limit(cast.customer, stored_bytes=10 * GIGABYTE)
    first = order(cast.domain, "a")
    assert first.quota_bytes > 5 * GIGABYTE
    order(cast.domain, "b")
    Usage.objects.update_or_create(username=first.address, defaults={"bytes": 10 * GIGABYTE})

    with pytest.raises(limits.LimitReached, match="may keep 10 GB of mail, and keeps as much"):
        order(cast.domain, "c")


def test_spend_cap_counts_fixed_prices_and_the_storage_of_this_month(cast):
    make_list(cast.reseller, is_default=True, imap=("2.50", 5, "0.12"), pop=("1.00", 0, "0"))
    limit(cast.customer, spend_cap_minor=500)
    order(cast.domain, "a")
    order(cast.domain, "b")
    with pytest.raises(limits.LimitReached, match=r"Alder may spend 5\.00 EUR a month"):
        order(cast.domain, "c", "pop")

    Limits.objects.update(spend_cap_minor=650)
    Spending.objects.create(
        organisation=cast.customer,
        period=NOW.date().replace(day=1),
        storage_minor=51,
        counted_at=NOW,
    )
    with pytest.raises(limits.LimitReached):
        order(cast.domain, "c", "pop")
    Spending.objects.update(storage_minor=50)
    order(cast.domain, "c", "pop")


@pytest.mark.parametrize("has_place", [True, False])
def test_reopening_takes_a_place_again(cast, has_place):
    limit(cast.customer, mailboxes=1)
    mailbox = order(cast.domain, "a")
    provisioning.close(actor=ACTOR, mailbox=mailbox, grace=timedelta(days=9), at=NOW)
    ordering.end_contracts()
    if has_place:
        ordering.reopen(actor=ACTOR, mailbox=mailbox, at=NOW)
        assert Contract.objects.filter(ends_at=None).count() == 1
        return
    order(cast.domain, "b")

    with pytest.raises(limits.LimitReached, match="Alder may have 1 mailboxes, and has them"):
        ordering.reopen(actor=ACTOR, mailbox=mailbox, at=NOW)

    mailbox.refresh_from_db()
    assert mailbox.state == Mailbox.State.CLOSING
    assert Contract.objects.filter(mailbox=mailbox, ends_at=None).count() == 0


def test_reopening_what_is_open_says_so_whatever_the_limit(cast):
    limit(cast.customer, mailboxes=1)

    with pytest.raises(provisioning.WrongState):
        ordering.reopen(actor=ACTOR, mailbox=order(cast.domain, "a"), at=NOW)


def test_what_comes_back_with_its_organisation_is_stopped_by_no_limit(cast):
    mailbox = order(cast.domain, "a")
    limit(cast.customer, mailboxes=0)
    Mailbox.objects.filter(pk=mailbox.pk).update(
        state=Mailbox.State.CLOSING, closing_since=NOW, erase_after=NOW + timedelta(days=9)
    )
    mailbox.refresh_from_db()

    ordering.reopen(actor=ACTOR, mailbox=mailbox, follows_standing=True, at=NOW)

    assert Contract.objects.filter(mailbox=mailbox, ends_at=None).count() == 1


def test_list_opens_exactly_what_fits_and_names_the_other_lines(cast):
    limit(cast.customer, mailboxes=2)
    lines = "\n".join(f"m{number}@alder.test,imap" for number in range(4))
    checked = importing.check(text=f"address,plan\n{lines}\n", actor=ACTOR)
    assert [problem.line for problem in checked.problems] == [4, 5]

    both = importing.check(text=f"address,plan\n{lines}\n", actor=ACTOR)
    for listed in (checked, both):
        list(importing.apply(rows=listed.rows, actor=ACTOR, at=NOW))

    assert Mailbox.objects.count() == 2
    assert Contract.objects.count() == 2


def test_without_limits_an_order_costs_one_query_more(cast):
    with CaptureQueriesContext(connection) as queries:
        limits.lock([cast.customer], at=NOW)

    assert len(queries) == 1


def test_owners_are_told_once_at_each_threshold(cast, mailoutbox):
    make_list(cast.reseller, is_default=True, imap=("10.00", 0, "1.00"))
    limit(cast.customer, spend_cap_minor=1000)
    mailbox = sold(cast.domain, "a", since=moment(1))

    assert spending.watch(at=moment(10)) == 0
    assert spending.watch(at=moment(17)) == 1
    assert spending.watch(at=moment(17, 1)) == 0
    used(mailbox, (moment(1), 10 * GIGABYTE), until=moment(20))
    assert spending.watch(at=moment(20)) == 1

    notices.send_waiting(at=NOW)
    assert [mail.subject for mail in mailoutbox] == [
        "Alder: 50 % of your spend cap in 2026-10",
        "Alder: 100 % of your spend cap in 2026-10",
    ]
    known = Spending.objects.get()
    assert (known.told_percent, known.storage_minor > 0) == (100, True)
    assert Event.objects.filter(kind="spend_cap.reached").count() == 2
    # A new month begins from nothing.
    assert spending.watch(at=moment(2, month=11)) == 0


def test_cap_of_a_reseller_is_counted_at_wholesale(cast):
    limit(cast.reseller, spend_cap_minor=10_000)
    sold(cast.domain, "a", since=moment(1))

    spending.watch(at=moment(31, 23))

    wholesale = pricing.price_at(
        price_list=pricing.list_for(cast.reseller), plan=Plan.objects.get(slug="imap"), at=NOW
    ).monthly_price
    net = Decimal(Spending.objects.get().net_minor) / 100
    assert abs(net - wholesale) < Decimal("0.01")


def test_mailbox_of_a_stranger_does_not_count(cast):
    limit(cast.customer, mailboxes=1)
    make_mailbox(cast.other_domain, "x")

    order(cast.domain, "a")
