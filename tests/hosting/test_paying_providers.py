"""The payment providers: one contract, and what only Stripe can do wrong."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace

import pytest

from hosting import paying
from hosting.paying import FactKind, ProviderDown, ProviderRefused, RefundAsk, Unreadable
from hosting.paying.memory import MemoryProvider
from hosting.paying.stripe_api import EVENTS, StripeProvider
from tests.hosting.provider_contract import ASK, INVOICE, ProviderContract
from tests.hosting.stripe_server import KEY, ORIGIN, SECRET, StripeServer, event, serving, signed


@dataclass
class InMemory:
    provider: MemoryProvider

    def pay(self, page):
        [ask] = [ask for ask, made in self.provider.pages.values() if made == page]
        self.provider.paid["pi_1"] = ask.amount_minor
        return "pi_1"

    def message(self, kind):
        about = {"amount_minor": 749, "currency": "EUR", "payment_id": "pi_1", "object_id": "x"}
        if kind is FactKind.PAID:
            about["invoice_uuid"] = INVOICE
        return self.provider.tell(event_id="evt_1", kind=kind, name=kind, at=1_793_600_000, **about)

    def signed(self, body, at=None):
        return self.provider.sign(body, at=at)

    def fail(self):
        self.provider.is_down = True


@dataclass
class AtStripe:
    provider: StripeProvider
    server: StripeServer

    def pay(self, page):
        return self.server.pay(page.id)

    def message(self, kind):
        return signed(event(*ABOUT[kind]))

    def signed(self, body, at=None):
        return signed(body.decode(), at=at)[1]

    def fail(self):
        self.server.fault = 503


SESSION = {
    "id": "cs_1",
    "object": "checkout.session",
    "payment_intent": "pi_1",
    "payment_status": "paid",
    "amount_total": 749,
    "currency": "eur",
    "metadata": {"invoice": INVOICE},
    "customer_details": {"email": "alice@example.test", "name": "Alice"},
}
REFUND = {
    "id": "re_1",
    "object": "refund",
    "payment_intent": "pi_1",
    "amount": 749,
    "currency": "eur",
    "status": "succeeded",
    "metadata": {},
}
DISPUTE = {
    "id": "dp_1",
    "object": "dispute",
    "payment_intent": "pi_1",
    "amount": 749,
    "currency": "eur",
}
ABOUT = {
    FactKind.PAID: ("checkout.session.completed", SESSION),
    FactKind.REFUNDED: ("refund.created", REFUND),
    FactKind.REFUND_FAILED: ("refund.failed", {**REFUND, "status": "failed"}),
    FactKind.TAKEN: ("charge.dispute.funds_withdrawn", DISPUTE),
    FactKind.GIVEN_BACK: ("charge.dispute.funds_reinstated", DISPUTE),
    FactKind.OTHER: ("customer.created", {"id": "cus_1", "object": "customer"}),
}


def stripe_at(server, **more):
    return StripeProvider(
        **{"secret_key": KEY, "webhook_secret": SECRET, "origin": ORIGIN, **more},
        api_address=server.address,
    )


@pytest.fixture
def server():
    with serving() as server:
        yield server


@pytest.fixture
def stripe_shop(server):
    return AtStripe(stripe_at(server), server)


class TestTwin(ProviderContract):
    @pytest.fixture
    def shop(self):
        return InMemory(MemoryProvider())


class TestStripe(ProviderContract):
    @pytest.fixture
    def shop(self, stripe_shop):
        return stripe_shop


# What only Stripe can do ----------------------------------------------------------------


def test_wish_is_sent_as_stripe_documents_it(stripe_shop):
    stripe_shop.provider.checkout(ASK)

    [(path, key, form)] = stripe_shop.server.requests
    assert (path, key) == ("/v1/checkout/sessions", "pay-1")
    assert form == {
        "mode": "payment",
        "client_reference_id": INVOICE,
        "metadata[invoice]": INVOICE,
        "payment_intent_data[metadata][invoice]": INVOICE,
        "payment_intent_data[description]": "R-000007",
        "line_items[0][quantity]": "1",
        "line_items[0][price_data][currency]": "eur",
        "line_items[0][price_data][unit_amount]": "749",
        "line_items[0][price_data][product_data][name]": "R-000007",
        "success_url": ASK.success_url,
        "cancel_url": ASK.cancel_url,
    }


def test_refund_is_sent_as_stripe_documents_it(stripe_shop):
    payment = stripe_shop.pay(stripe_shop.provider.checkout(ASK))

    stripe_shop.provider.refund(RefundAsk(key="k", payment_id=payment, amount_minor=5))

    assert stripe_shop.server.requests[-1] == (
        "/v1/refunds",
        "k",
        {"payment_intent": payment, "amount": "5", "metadata[refund]": "k"},
    )


@pytest.mark.parametrize("fault", [409, 429, 500, 503, "hang up"])
def test_fault_of_theirs_is_tried_again_and_then_put_off(stripe_shop, fault):
    stripe_shop.server.fault = fault
    with pytest.raises(ProviderDown):
        stripe_shop.provider.checkout(ASK)

    stripe_shop.server.fault = None
    assert stripe_shop.provider.checkout(ASK).id == "cs_test_1"


def test_wrong_key_is_ours_to_mend_and_the_wish_waits(server):
    with pytest.raises(ProviderDown):
        stripe_at(server, secret_key="sk_test_wrong").checkout(ASK)
    assert server.requests == []


def test_refusal_is_told_in_stripes_words(stripe_shop):
    with pytest.raises(ProviderRefused, match="must convert to at least 50 cents"):
        stripe_shop.provider.checkout(replace(ASK, amount_minor=49))


def test_three_decimals_are_paid_in_tenths(stripe_shop):
    dinars = replace(ASK, currency="BHD", amount_minor=1_230)
    stripe_shop.provider.checkout(dinars)

    with pytest.raises(ProviderRefused, match=r"in steps of 0\.010 only"):
        stripe_shop.provider.checkout(replace(dinars, key="x", amount_minor=1_234))


def test_page_without_an_address_is_refused(stripe_shop):
    stripe_shop.provider.checkout(ASK)
    stripe_shop.server.sessions["cs_test_1"]["url"] = None

    with pytest.raises(ProviderRefused, match="made no page"):
        stripe_shop.provider.checkout(ASK)


def test_debit_that_is_under_way_is_no_payment(stripe_shop):
    waiting = event("checkout.session.completed", {**SESSION, "payment_status": "unpaid"})
    body, signature = signed(waiting)

    assert stripe_shop.provider.read(body=body, signature=signature).kind is FactKind.OTHER


def test_nothing_about_the_person_who_paid_is_kept(stripe_shop):
    body, signature = stripe_shop.message(FactKind.PAID)

    stored = json.dumps(stripe_shop.provider.read(body=body, signature=signature).as_data())

    assert b"Alice" in body
    assert "lice" not in stored


@pytest.mark.parametrize("name", EVENTS)
@pytest.mark.parametrize(
    "about",
    [
        {"metadata": {"invoice": INVOICE}},
        [],
        None,
        "x",
        {**SESSION, "amount_total": "749"},
        {**SESSION, "amount_total": 7.49},
        {**SESSION, "amount_total": True},
        {**SESSION, "amount_total": -1},
        {**SESSION, "currency": None, "amount_total": None},
        {**SESSION, "metadata": "x"},
    ],
)
def test_signed_event_without_its_values_is_unreadable(stripe_shop, name, about):
    body, signature = signed(event(name, about))

    with pytest.raises(Unreadable):
        stripe_shop.provider.read(body=body, signature=signature)


@pytest.mark.parametrize("metadata", [None, {}, {"invoice": ""}])
def test_other_business_of_the_same_account_is_none_of_ours(stripe_shop, metadata):
    body, signature = signed(event("checkout.session.completed", {**SESSION, "metadata": metadata}))

    assert stripe_shop.provider.read(body=body, signature=signature).kind is FactKind.OTHER


def test_nobody_takes_payments_unless_the_environment_says_so(settings):
    assert settings.PAYMENT_PROVIDER == ""
    assert paying.provider() is None

    settings.PAYMENT_PROVIDER = "hosting.paying.stripe_api.from_settings"
    settings.STRIPE_SECRET_KEY, settings.STRIPE_WEBHOOK_SECRET = KEY, SECRET
    settings.PAYMENT_ORIGIN = ORIGIN

    assert isinstance(paying.provider(), StripeProvider)
    assert paying.provider().origin == ORIGIN
