"""What happened about money and what is sold, in sentences. Whoever sees bills reads them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop as _later

from hosting import money

Facts = Mapping[str, Any]


def _amount(data: Facts, name: str) -> str:
    currency = data.get("currency", "")
    if name not in data or currency not in money.EXPONENTS:
        return ""
    return money.minor_text(data[name], currency=currency)


def _with_amount(sentence: str, name: str) -> Callable[[Facts], str]:
    def told(data: Facts) -> str:
        amount = _amount(data, name)
        text = _(sentence)
        return f"{text} ({amount})" if amount else text

    return told


def _capped(data: Facts) -> str:
    cap = data.get("cap_minor")
    if isinstance(cap, Mapping) and cap.get("new") is None:
        return _("The spend cap was removed.")
    if data.get("whose") == "above":
        return _("The seller changed how much may be spent in a month.")
    return _("The spend cap was changed.")


def _near_cap(data: Facts) -> str:
    if data.get("percent", 0) >= 100:  # noqa: PLR2004  # all of it
        return _("The spend cap was reached; the owners were told.")
    return _("{percent} % of the spend cap were reached; the owners were told.").format(
        percent=data.get("percent", 0)
    )


def _price(data: Facts) -> str:
    return _("A price was set: %(name)s, from {day} on.").format(day=data.get("starts_on", ""))


SENTENCES: Mapping[str, str | Callable[[Facts], str]] = {
    "billing_profile.changed": _later("The billing details were changed."),
    "spend_cap.set": _capped,
    "spend_cap.reached": _near_cap,
    "invoice.issued": _with_amount(_later("The bill %(name)s was written."), "total_minor"),
    "invoice.paid": _with_amount(_later("The bill %(name)s is paid."), "paid_minor"),
    "invoice.partly_paid": _with_amount(
        _later("A part of the bill %(name)s was paid."), "paid_minor"
    ),
    "invoice.overdue": _later("The bill %(name)s is overdue."),
    "invoice.reopened": _with_amount(
        _later("The bill %(name)s is open again: a payment was taken back."), "open_minor"
    ),
    "invoice.written_off": _later("The bill %(name)s does not have to be paid any more."),
    "invoice.credited": _later("A bill was corrected by the credit note %(name)s."),
    "overage.held": _with_amount(
        _later("Space above the included is looked at before the bill %(name)s charges it."),
        "amount_minor",
    ),
    "overage.released": _with_amount(
        _later("Space above the included is charged with the next bill."), "amount_minor"
    ),
    "overage.let_go": _with_amount(
        _later("Space above the included does not have to be paid."), "amount_minor"
    ),
    "payment.received": _with_amount(_later("A payment arrived."), "amount_minor"),
    "payment.taken_back": _with_amount(
        _later("A payment that never came was struck out."), "amount_minor"
    ),
    "payment.refunded": _with_amount(_later("A payment was paid back."), "amount_minor"),
    "payment.refund_failed": _with_amount(
        _later("A payment could not be paid back."), "amount_minor"
    ),
    "dunning.announce": _later("A reminder was sent."),
    "dunning.take": _later("A step was taken because a bill is not paid."),
    "dunning.back": _later("A step was taken back, since less is owed."),
    "dunning.end": _later("All is paid: the reminders are over."),
    "dunning.paused": _later("Staff paused the reminders."),
    "dunning.resumed": _later("Staff let the reminders go on."),
    "dunning.extended": _later("Staff gave more time to pay."),
    "plan.created": _later("The plan %(name)s was made."),
    "plan.updated": _later("The plan %(name)s was changed."),
    "price.set": _price,
    "price.withdrawn": _later("A price that did not hold yet was withdrawn: %(name)s."),
    "price_list.changed": _later("The price list %(name)s was changed."),
    "price_list.made_default": _later("The price list %(name)s holds for everybody now."),
    "vat_rate.set": _later("A VAT rate was set: %(name)s."),
}
