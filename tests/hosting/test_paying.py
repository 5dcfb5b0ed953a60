"""Paying by card: the way there, what the provider tells in any order, and refunds."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import timedelta
from uuid import uuid4

import pytest
from django.conf import settings
from django.core.management import call_command
from django.core.management.base import SystemCheckError
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts.access import Forbidden
from hosting import checks, invoicing, ledger, panel_hosts, paying, tasks
from hosting.models import LedgerEntry, Payment, ProviderEvent, Refund
from hosting.paying import checkouts, facts, refunding
from hosting.paying.base import Fact
from hosting.paying.memory import MemoryProvider
from tests.factories import AT
from tests.hosting.billing_rows import ACTOR
from tests.hosting.brand_rows import HOST, make_host
from tests.hosting.ledger_rows import make_bill, paid
from tests.staffing import signed_in

pytestmark = pytest.mark.django_db(databases="__all__")

WEBHOOK = "/payments/stripe/webhook"


@pytest.fixture
def provider(settings):
    """The in-memory provider, empty."""
    settings.PAYMENT_PROVIDER = "hosting.paying.memory.MemoryProvider"
    settings.PAYMENT_ORIGIN = "https://checkout.stripe.com"
    paying._made.cache_clear()
    yield paying.provider()
    paying._made.cache_clear()


@pytest.fixture
def bill(cast):
    """Charlie's bill over 10.00 EUR, with all the time in the world."""
    return make_bill(cast.other_customer, 1000, days=20_000)


@dataclass
class Teller:
    """Tells facts as the provider does, by the webhook."""

    provider: MemoryProvider
    count: int = 0

    def message(self, kind, **about):
        self.count += 1
        values = {"event_id": f"evt_{self.count}", "name": f"test.{kind}", "at": 1_793_600_000}
        values |= {"amount_minor": 1000, "currency": "EUR", "payment_id": "pi_1"}
        return self.provider.tell(kind=kind, **{**values, **about})

    def send(self, body, signature):
        return Client().post(
            WEBHOOK, body, content_type="application/json", headers={"stripe-signature": signature}
        )

    def __call__(self, kind, **about):
        assert self.send(*self.message(kind, **about)).status_code == 200


@pytest.fixture
def tell(provider):
    return Teller(provider)


def apply(at=None):
    return facts.apply_waiting(at=at or timezone.now())


def state(bill):
    return ledger.open_minor(bill), list(Payment.objects.values_list("free_minor", flat=True))


# The way to the page --------------------------------------------------------------------


def test_button_leads_to_the_providers_page_for_all_that_is_open(cast, bill, provider):
    ledger.match(actor=ACTOR, payment=paid(251), invoice=bill, at=AT)
    charlie = signed_in(cast.charlie)

    first = charlie.post(f"/billing/invoices/{bill.uuid}/pay")
    again = signed_in(cast.sam).post(f"/billing/invoices/{bill.uuid}/pay")

    assert first.status_code == 302
    assert first.headers["Location"] == again.headers["Location"]
    [(ask, page)] = provider.pages.values()
    assert first.headers["Location"] == page.url
    assert (ask.amount_minor, ask.currency, ask.invoice_uuid) == (749, "EUR", str(bill.uuid))
    here = f"{settings.PANEL_URL}/billing/invoices/{bill.uuid}/payment"
    assert (ask.success_url, ask.cancel_url) == (f"{here}?returned=yes", here)


def test_button_leads_to_the_same_page_from_every_host(cast, provider):
    make_host(cast.reseller)
    bill = make_bill(cast.reseller, 1000)

    answers = [
        signed_in(cast.rita, Client(headers={"host": host})).post(
            f"/billing/invoices/{bill.uuid}/pay"
        )
        for host in ("testserver", HOST)
    ]

    [(ask, page)] = provider.pages.values()
    assert [answer.headers["Location"] for answer in answers] == [page.url, page.url]
    assert ask.cancel_url == f"{panel_hosts.url(HOST)}/billing/invoices/{bill.uuid}/payment"


def test_page_is_another_one_once_the_books_have_moved(cast, bill, provider):
    charlie = signed_in(cast.charlie)
    path = f"/billing/invoices/{bill.uuid}/pay"
    first = charlie.post(path)
    entry = ledger.match(actor=ACTOR, payment=paid(1000), invoice=bill, at=AT)
    ledger.release(actor=ACTOR, entry=entry, reason="Wrong bill", at=AT)

    again = charlie.post(path)

    assert first.headers["Location"] != again.headers["Location"]


def said_after_paying(client, bill):
    page = client.post(f"/billing/invoices/{bill.uuid}/pay", follow=True)
    return [str(message) for message in page.context["messages"]]


def test_what_cannot_be_paid_by_card_is_refused_with_the_reason(cast, bill, provider):
    own = make_bill(cast.customer, 500, seller=cast.reseller)
    note = invoicing.credit(actor=ACTOR, invoice=bill, reason="Never used", at=AT)
    sam = signed_in(cast.sam)

    assert said_after_paying(sam, bill) == [f"Nothing is left to pay of {bill.number}."]
    assert said_after_paying(sam, own) == ["This bill cannot be paid by card here."]
    assert said_after_paying(sam, note) == ["This bill cannot be paid by card here."]
    assert provider.pages == {}


def test_provider_that_is_away_is_told_of(cast, bill, provider):
    provider.is_down = True

    said = said_after_paying(signed_in(cast.charlie), bill)

    assert said == ["The payment provider cannot be reached."]


def test_page_that_is_not_the_providers_is_not_followed(cast, bill, provider, monkeypatch):
    evil = paying.Checkout(id="x", url="https://checkout.stripe.com.evil.test/pay")
    monkeypatch.setattr(provider, "checkout", lambda _ask: evil)

    said = said_after_paying(signed_in(cast.charlie), bill)

    assert said == ["The payment provider answered with a page that is not its own."]


def test_strangers_bill_is_not_paid(cast, bill, provider):
    with pytest.raises(Forbidden):
        checkouts.start(
            actor=cast.actor(cast.alice), invoice=bill, success_url="", cancel_url="", at=AT
        )
    own = make_bill(cast.customer, 100)
    for person, other in ((cast.alice, bill), (cast.bob, own)):
        client = signed_in(person)
        assert client.post(f"/billing/invoices/{other.uuid}/pay").status_code == 404
        assert client.get(f"/billing/invoices/{other.uuid}/payment").status_code == 404
    assert provider.pages == {}


def test_without_a_provider_nothing_is_offered(cast, bill, settings):
    assert settings.PAYMENT_PROVIDER == ""
    charlie = signed_in(cast.charlie)

    page = charlie.get(f"/billing/invoices/{bill.uuid}/payment")

    assert "by card" not in page.content.decode()
    assert said_after_paying(charlie, bill) == ["This bill cannot be paid by card here."]
    assert Client().post(WEBHOOK, b"{}", content_type="application/json").status_code == 404


def test_forms_lead_to_the_provider_only_where_there_is_one(settings):
    policies = []
    for origin in ("", "https://checkout.stripe.com"):
        settings.PAYMENT_ORIGIN = origin
        response = Client().get(reverse("accounts:sign_in"))
        policies.append(response.headers["Content-Security-Policy"])

    assert "form-action 'self';" in policies[0]
    assert "form-action 'self' https://checkout.stripe.com;" in policies[1]


def test_return_is_no_payment_until_the_provider_has_told(cast, bill, provider, tell):
    charlie = signed_in(cast.charlie)
    path = f"/billing/invoices/{bill.uuid}/payment"

    before = charlie.get(path).content.decode()
    assert "Pay 10.00 EUR by card" in before
    assert "Overdue" not in before
    waiting = charlie.get(f"{path}?returned=yes").content.decode()
    assert "Not yet confirmed." in waiting
    assert "by card" not in waiting
    tell("paid", invoice_uuid=str(bill.uuid))
    assert "Not yet confirmed." in charlie.get(f"{path}?returned=yes").content.decode()
    apply()
    part = charlie.get(f"{path}?returned=yes", headers={"hx-request": "true"}).content.decode()

    assert "Settled: nothing is left to pay" in part
    assert "<html" not in part
    assert "hx-get" not in part


def test_credit_note_and_overdue_bill_have_words_of_their_own(cast, provider):
    old = make_bill(cast.other_customer, 100, days=0)
    note = invoicing.credit(
        actor=ACTOR, invoice=make_bill(cast.other_customer, 5), reason="x", at=AT
    )
    charlie = signed_in(cast.charlie)

    assert "Overdue" in charlie.get(f"/billing/invoices/{old.uuid}/payment").content.decode()
    page = charlie.get(f"/billing/invoices/{note.uuid}/payment").content.decode()
    assert "A credit note is not paid" in page


# The webhook ----------------------------------------------------------------------------


def test_message_is_stored_first_and_then_done_once(bill, tell):
    message = tell.message("paid", invoice_uuid=str(bill.uuid))
    for _again in range(3):
        assert tell.send(*message).status_code == 200
    assert (ProviderEvent.objects.count(), Payment.objects.count()) == (1, 0)

    assert [apply(), apply()] == [1, 0]
    assert tell.send(*message).status_code == 200
    assert apply() == 0

    assert state(bill) == (0, [0])
    payment = Payment.objects.get()
    assert (payment.source, payment.external_id, payment.customer) == (
        "stripe",
        "pi_1",
        bill.customer,
    )
    assert ProviderEvent.objects.get().state == "applied"


def test_two_messages_about_one_payment_count_once(bill, tell):
    tell("paid", invoice_uuid=str(bill.uuid))
    tell("paid", invoice_uuid=str(bill.uuid))

    assert apply() == 2
    assert state(bill) == (0, [0])


def test_message_that_moves_no_money_is_taken_and_not_kept(tell):
    tell("other")

    assert not ProviderEvent.objects.exists()


@pytest.mark.parametrize("signature", ["", "1.x", "t=1,v1=ab"])
def test_message_without_a_right_signature_leaves_nothing(tell, signature):
    body, _right = tell.message("paid")

    assert tell.send(body, signature).status_code == 400
    assert not ProviderEvent.objects.exists()


def test_old_message_and_nonsense_are_refused(tell, provider):
    body, _now = tell.message("paid")
    late = provider.sign(body, at=int(timezone.now().timestamp()) - 301)

    assert tell.send(body, late).status_code == 400
    assert tell.send(b"[]", provider.sign(b"[]")).status_code == 400
    assert not ProviderEvent.objects.exists()


def test_large_message_is_refused_unread(tell, provider):
    body = b" " * (256 * 1024 + 1)

    assert tell.send(body, provider.sign(body)).status_code == 413


def test_webhook_takes_no_other_method():
    assert Client().get(WEBHOOK).status_code == 405


# What the money is for ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("about", "left"),
    [
        ({"amount_minor": 400}, (600, [0])),
        ({"amount_minor": 1400}, (0, [400])),
        ({"currency": "USD"}, (1000, [1000])),
    ],
)
def test_other_amount_than_the_bills_is_taken_as_it_is(bill, tell, about, left):
    tell("paid", invoice_uuid=str(bill.uuid), **about)

    apply()

    assert state(bill) == left
    assert Payment.objects.get().customer == bill.customer


def test_payment_of_a_bill_that_was_taken_back_is_credit(cast, bill, tell):
    invoicing.credit(actor=ACTOR, invoice=bill, reason="Never used", at=AT)
    tell("paid", invoice_uuid=str(bill.uuid))

    apply()

    assert state(bill) == (0, [1000])
    assert ledger.balance_minor(cast.other_customer) == -1000


@pytest.mark.parametrize("which", ["nowhere", "nonsense", "", "a reseller's", "a credit note"])
def test_payment_without_a_bill_of_the_house_waits_for_staff(cast, bill, tell, which):
    named = {
        "nowhere": uuid4(),
        "a reseller's": make_bill(cast.customer, 1000, seller=cast.reseller).uuid,
        "a credit note": invoicing.credit(actor=ACTOR, invoice=bill, reason="x", at=AT).uuid,
    }
    tell("paid", invoice_uuid=str(named.get(which, which)))

    apply()

    payment = Payment.objects.get()
    assert (payment.customer, payment.free_minor) == (None, 1000)


def test_currency_that_the_house_does_not_know_is_for_staff(bill, tell):
    tell("paid", invoice_uuid=str(bill.uuid), currency="XXX")

    assert apply() == 0

    event = ProviderEvent.objects.get()
    assert (event.state, event.problem) == ("failed", "XXX is not a currency of the house.")
    facts.try_again(event=event, at=timezone.now())
    event.refresh_from_db()
    assert event.state == "waiting"


# Refunds and disputes -------------------------------------------------------------------


@pytest.fixture
def payment(bill, tell, provider):
    """10.00 EUR paid by card for the bill."""
    provider.paid["pi_1"] = 1000
    tell("paid", invoice_uuid=str(bill.uuid))
    apply()
    return Payment.objects.get()


@pytest.fixture
def freed(payment):
    """The same, with the bill taken back, so that it can be paid back."""
    invoice = LedgerEntry.objects.get(kind="matched").invoice
    invoicing.credit(actor=ACTOR, invoice=invoice, reason="Never used", at=AT)
    return payment


def ask(payment, amount_minor):
    return refunding.ask(
        actor=ACTOR, payment=payment, amount_minor=amount_minor, reason="Asked for", at=AT
    )


def send():
    return refunding.send_due(now=timezone.now)


def test_refund_is_in_the_books_first_and_asked_for_once(freed, provider, tell):
    refund = ask(freed, 400)
    assert (Payment.objects.get().free_minor, provider.refunds) == (600, {})

    assert [send(), send()] == [1, 0]

    refund.refresh_from_db()
    assert (refund.state, refund.provider_id) == ("sent", "re_1")
    assert list(provider.refunds) == [str(refund.uuid)]
    tell("refunded", object_id="re_1", refund_key=str(refund.uuid), amount_minor=400)
    assert apply() == 1
    assert (Payment.objects.get().free_minor, Refund.objects.count()) == (600, 1)


def test_only_what_came_by_the_provider_goes_back_by_it(cast, freed):
    with pytest.raises(ledger.LedgerRefused, match="did not come by the provider"):
        ask(paid(100, customer=cast.other_customer), 100)
    with pytest.raises(ledger.LedgerRefused, match="cannot be paid back"):
        ask(freed, 1001)
    assert not Refund.objects.exists()


def test_refund_waits_for_a_provider_that_is_away(freed, provider):
    refund = ask(freed, 400)
    provider.is_down = True
    assert send() == 0
    refund.refresh_from_db()
    assert (refund.state, refund.tries) == ("asked", 1)
    assert refund.retry_at > timezone.now() + timedelta(seconds=20)
    provider.is_down = False
    assert send() == 0

    assert refunding.send_due(now=lambda: timezone.now() + timedelta(minutes=1)) == 1


def test_refund_waits_while_nobody_takes_payments(freed, settings):
    ask(freed, 400)
    settings.PAYMENT_PROVIDER = ""

    assert send() == 0
    assert Refund.objects.get().state == "asked"


def test_refused_refund_gives_the_money_back_to_the_books(freed, provider):
    refund = ask(freed, 400)
    provider.paid["pi_1"] = 0

    assert send() == 0

    refund.refresh_from_db()
    assert (refund.state, refund.problem) == (
        "failed",
        "More than was paid cannot be paid back.",
    )
    assert Payment.objects.get().free_minor == 1000


def test_refund_that_was_given_up_and_made_all_the_same_is_gone(freed, provider, tell):
    """The worker stood still for more than a day after the provider's yes."""
    refund = ask(freed, 1000)
    provider.paid["pi_1"] = 0
    send()
    for _again in range(2):
        tell("refunded", object_id="re_9", refund_key=str(refund.uuid))

    assert apply() == 2

    assert Payment.objects.get().free_minor == 0
    states = Refund.objects.order_by("pk").values_list("state", "provider_id")
    assert list(states) == [("failed", ""), ("sent", "re_9")]


def test_refund_that_was_given_up_and_fails_gives_nothing_back_twice(freed, provider, tell):
    refund = ask(freed, 1000)
    provider.paid["pi_1"] = 0
    send()
    tell("refund_failed", object_id="re_9", refund_key=str(refund.uuid))
    tell("refunded", object_id="re_9", refund_key=str(refund.uuid))

    assert apply() == 2

    assert Payment.objects.get().free_minor == 1000
    assert Refund.objects.get().state == "failed"


def test_message_overtakes_the_answer(freed, provider, tell):
    refund = ask(freed, 400)
    tell("refunded", object_id="re_9", refund_key=str(refund.uuid), amount_minor=400)

    apply()

    refund.refresh_from_db()
    assert (refund.state, refund.provider_id) == ("sent", "re_9")
    assert send() == 0


def test_refusal_that_the_message_overtakes_takes_nothing_back(freed, provider, tell, monkeypatch):
    refund = ask(freed, 400)

    def overtaken(_wish):
        tell("refunded", object_id="re_9", refund_key=str(refund.uuid), amount_minor=400)
        apply()
        message = "Refunded already."
        raise paying.ProviderRefused(message)

    monkeypatch.setattr(provider, "refund", overtaken)
    assert send() == 0

    refund.refresh_from_db()
    assert (refund.state, Payment.objects.get().free_minor) == ("sent", 600)


def test_refund_that_fails_later_gives_the_money_back_once(freed, tell):
    refund = ask(freed, 400)
    send()
    for _again in range(2):
        tell("refund_failed", object_id="re_1", refund_key=str(refund.uuid), amount_minor=400)
    tell("refunded", object_id="re_1", refund_key=str(refund.uuid), amount_minor=400)

    assert apply() == 3

    refund.refresh_from_db()
    assert refund.state == "failed"
    assert Payment.objects.get().free_minor == 1000


def test_refund_made_at_the_provider_opens_the_bill_again(bill, payment, tell):
    for key in ("", "nonsense", str(uuid4())):
        tell("refunded", object_id="re_77", refund_key=key, amount_minor=300)

    assert apply() == 3

    assert state(bill) == (300, [0])
    assert Refund.objects.get().state == "sent"
    tell("refund_failed", object_id="re_77", amount_minor=300)
    apply()
    assert state(bill) == (300, [300])


def test_dispute_takes_the_money_and_may_give_it_back(bill, payment, tell):
    for _again in range(2):
        tell("taken", object_id="dp_1")
    apply()
    assert state(bill) == (1000, [0])

    for _again in range(2):
        tell("given_back", object_id="dp_1")
    apply()

    assert state(bill) == (1000, [0, 1000])
    assert ledger.settle_all(at=AT) == 1
    assert state(bill) == (0, [0, 0])


def test_dispute_about_more_than_is_left_is_for_staff(payment, tell):
    tell("taken", object_id="dp_1", amount_minor=1001)

    assert apply() == 0

    assert "cannot be paid back" in ProviderEvent.objects.get(state="failed").problem


# In any order, and when something goes wrong --------------------------------------------


def test_messages_in_the_wrong_order_wait_for_each_other(bill, tell):
    tell("refund_failed", object_id="re_5", amount_minor=100)
    tell("refunded", object_id="re_5", amount_minor=100)
    tell("paid", invoice_uuid=str(bill.uuid))
    now = timezone.now()

    done = [apply(now + timedelta(minutes=minutes)) for minutes in (0, 1, 3)]

    assert done == [1, 1, 1]
    assert state(bill) == (100, [100])
    assert set(ProviderEvent.objects.values_list("state", flat=True)) == {"applied"}


def test_message_whose_cause_never_comes_is_for_staff_in_the_end(tell):
    tell("taken", object_id="dp_1")
    now = timezone.now()
    assert apply(now) == 0
    event = ProviderEvent.objects.get()
    assert (event.state, event.problem) == ("waiting", "Payment pi_1 is not known yet.")

    apply(now + timedelta(days=2))
    event.refresh_from_db()
    assert event.retry_at == now + timedelta(days=2, hours=1)
    apply(now + timedelta(days=4))

    event.refresh_from_db()
    assert event.state == "failed"
    assert apply(now + timedelta(days=9)) == 0


def test_fault_in_one_message_does_not_stop_the_next(bill, tell):
    tell("paid", invoice_uuid=str(bill.uuid), payment_id="pi_bad", amount_minor=2**70)
    tell("paid", invoice_uuid=str(bill.uuid))

    assert apply() == 1

    assert ledger.open_minor(bill) == 0
    waiting = ProviderEvent.objects.get(state="waiting")
    assert waiting.problem == "It failed; the log says how."


def test_tasks_do_what_their_names_say(freed, bill, tell, cast):
    tell("paid", payment_id="pi_2", invoice_uuid=str(make_bill(cast.other_customer, 400).uuid))
    make_bill(cast.other_customer, 300)
    ask(freed, 100)

    event = ProviderEvent.objects.get(state="waiting")
    assert tasks.apply_provider_event(event_id=event.pk) is True
    assert tasks.apply_provider_event(event_id=event.pk) is False
    assert tasks.apply_provider_events() == 0
    assert tasks.send_refunds() == 1
    assert tasks.settle_bills() == 1


def test_fact_goes_through_the_database_whole(bill, tell):
    tell("paid", invoice_uuid=str(bill.uuid))

    data = json.loads(json.dumps(ProviderEvent.objects.get().data))

    assert Fact(**data).as_data() == data


# A half configuration -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "secret", "found"),
    [
        ("", "", []),
        ("sk_live_x", "whsec_x", []),
        ("rk_live_x", "whsec_x", []),
        ("sk_live_x", "", ["hosting.E001"]),
        ("", "whsec_x", ["hosting.E001"]),
        ("pk_live_x", "whsec_x", ["hosting.E002"]),
        ("sk_live_x", "sk_live_x", ["hosting.E003"]),
        ("nonsense", "nonsense", ["hosting.E002", "hosting.E003"]),
    ],
)
def test_half_a_configuration_is_found_before_the_start(settings, key, secret, found):
    settings.STRIPE_SECRET_KEY, settings.STRIPE_WEBHOOK_SECRET = key, secret

    assert [message.id for message in checks.card_payments()] == found


def test_public_panel_takes_real_money(settings):
    settings.PANEL_IS_PUBLIC, settings.STRIPE_SECRET_KEY = True, "sk_test_x"
    assert [message.id for message in checks.real_money()] == ["hosting.W001"]
    settings.STRIPE_SECRET_KEY = "sk_live_x"
    assert checks.real_money() == []


def test_half_a_configuration_stops_the_start(settings):
    settings.STRIPE_SECRET_KEY = "sk_live_x"

    with pytest.raises(SystemCheckError, match="STRIPE_WEBHOOK_SECRET is missing"):
        call_command("check")
