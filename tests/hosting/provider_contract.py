"""What every payment provider must do: the in-memory twin and Stripe pass the same tests."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from hosting.paying import (
    BadSignature,
    CheckoutAsk,
    FactKind,
    ProviderDown,
    ProviderRefused,
    RefundAsk,
    Unreadable,
)

INVOICE = "0b9e8c34-36ad-4d43-8f1d-6c1f3f4a2b10"
ASK = CheckoutAsk(
    key="pay-1",
    invoice_uuid=INVOICE,
    invoice_number="R-000007",
    amount_minor=749,
    currency="EUR",
    success_url="https://panel.example.test/billing/invoices/x/payment",
    cancel_url="https://panel.example.test/billing/invoices/x/",
)


class ProviderContract:
    """A subclass gives `shop`: `provider`, `pay(page)`, `message(**about)`, `signed(body, at=)`.

    `pay` lets somebody pay on a page and gives the payment's id; `message` makes a message of
    one kind and its signature; `fail()` takes the provider away.
    """

    def test_page_lies_at_the_provider_and_is_the_same_for_the_same_wish(self, shop):
        page = shop.provider.checkout(ASK)
        again = shop.provider.checkout(ASK)

        assert page == again
        assert page.url.startswith(f"{shop.provider.origin}/")
        assert shop.provider.checkout(replace(ASK, key="pay-2")) != page

    @pytest.mark.parametrize("change", [{"amount_minor": 750}, {"currency": "USD"}])
    def test_key_of_another_wish_is_refused(self, shop, change):
        shop.provider.checkout(ASK)

        with pytest.raises(ProviderRefused):
            shop.provider.checkout(replace(ASK, **change))

    def test_page_for_nothing_is_refused(self, shop):
        with pytest.raises(ProviderRefused, match="amount"):
            shop.provider.checkout(replace(ASK, amount_minor=0))

    def test_refund_goes_back_once_for_each_key(self, shop):
        payment = shop.pay(shop.provider.checkout(ASK))
        ask = RefundAsk(key="refund-1", payment_id=payment, amount_minor=500)

        first, again = shop.provider.refund(ask), shop.provider.refund(ask)

        assert first == again
        with pytest.raises(ProviderRefused):
            shop.provider.refund(replace(ask, amount_minor=1))
        with pytest.raises(ProviderRefused):
            shop.provider.refund(replace(ask, key="refund-2", amount_minor=250))
        rest = shop.provider.refund(replace(ask, key="refund-3", amount_minor=249))
        assert rest != first

    def test_refund_of_an_unknown_payment_is_refused(self, shop):
        with pytest.raises(ProviderRefused):
            shop.provider.refund(RefundAsk(key="x", payment_id="pi_none", amount_minor=1))

    def test_provider_that_is_away_can_be_asked_again(self, shop):
        shop.fail()

        with pytest.raises(ProviderDown, match="cannot be reached"):
            shop.provider.checkout(ASK)
        with pytest.raises(ProviderDown, match="cannot be reached"):
            shop.provider.refund(RefundAsk(key="x", payment_id="pi_none", amount_minor=1))

    @pytest.mark.parametrize("kind", list(FactKind))
    def test_message_is_read_into_plain_values(self, shop, kind):
        body, signature = shop.message(kind)

        fact = shop.provider.read(body=body, signature=signature)

        assert fact.kind is kind
        assert (fact.event_id, fact.at) == ("evt_1", 1_793_600_000)
        if kind is not FactKind.OTHER:
            assert (fact.amount_minor, fact.currency) == (749, "EUR")
            assert fact.payment_id == "pi_1"
            assert fact.object_id
        assert fact.invoice_uuid == (INVOICE if kind is FactKind.PAID else "")

    def test_changed_message_is_refused(self, shop):
        body, signature = shop.message(FactKind.PAID)

        for changed in (body.replace(b"749", b"748"), body + b" ", b""):
            with pytest.raises(BadSignature):
                shop.provider.read(body=changed, signature=signature)

    @pytest.mark.parametrize(
        "signature", ["", "x", "t=,v1=", "t=x,v1=y", "t=1,v0=ab", ".", "1.", "²." + "a" * 64]
    )
    def test_message_without_a_right_signature_is_refused(self, shop, signature):
        body, _right = shop.message(FactKind.PAID)

        with pytest.raises(BadSignature):
            shop.provider.read(body=body, signature=signature)

    @pytest.mark.parametrize(("seconds", "is_taken"), [(-310, False), (-290, True), (200, True)])
    def test_message_is_taken_for_five_minutes(self, shop, seconds, is_taken):
        body, _now = shop.message(FactKind.PAID)
        signature = shop.signed(body, at=int(time.time()) + seconds)

        if is_taken:
            assert shop.provider.read(body=body, signature=signature).amount_minor == 749
        else:
            with pytest.raises(BadSignature):
                shop.provider.read(body=body, signature=signature)

    @pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b"7", b"{}", b'{"kind": "x"}'])
    def test_signed_nonsense_is_unreadable(self, shop, body):
        with pytest.raises(Unreadable):
            shop.provider.read(body=body, signature=shop.signed(body))
