"""Going from one price list to another: who may, in which currency, and from when on.

A month is billed by the list that holds when it ends, and a bill takes the one that holds when
it is written. So a list cannot be changed between the two, nor be taken away from whoever is still
to be billed.
"""

from __future__ import annotations

from datetime import datetime

from django.db.models import Exists, Q, QuerySet

from accounts.access import Actor, Capability
from accounts.models import Organisation
from hosting import months, pricing
from hosting.models import BillingProfile, Contract, Invoice, Limits, Price, PriceList
from hosting.periods import Period
from hosting.pricing import PriceRefused


def agree(
    *, actor: Actor, profile: BillingProfile, price_list: PriceList | None, at: datetime
) -> None:
    """Let an organisation buy from another list, in the same currency once it has bills or a cap.

    The list must have a price for all that it is on. None stands for the one for everybody; where
    there is no such list, only whoever was never billed and has nothing goes without. Raises
    `PriceRefused`. The profile is changed, not saved.
    """
    organisation = profile.organisation
    actor.must(Capability.SEE_BILLS, lineage=_lineage_of_seller(organisation))
    if price_list is not None:
        _refuse_list_of_others(organisation, price_list)
    after = price_list or pricing.default_for(organisation)
    before = pricing.lists_for([organisation]).get(organisation.pk)
    _refuse_to_leave_bills(organisation, before, after)
    moving = Organisation.objects.filter(pk=organisation.pk)
    refuse_to_move(moving, before, after, at=at)
    refuse_to_reach_back(moving, before, after, at=at)
    profile.price_list = price_list


def refuse_to_move(
    buyers: QuerySet[Organisation],
    before: PriceList | None,
    after: PriceList | None,
    *,
    at: datetime,
) -> None:
    """Raise `PriceRefused` if somebody cannot go from the one list to the other, or to none.

    A cap keeps its number, so in another currency it would be another amount; and what has no
    price on the list, for all of this month, would not be charged.
    """
    if before == after:
        return
    if before is not None and after is not None and before.currency != after.currency:
        capped = Limits.objects.capped().filter(organisation__in=buyers)
        found = capped.select_related("organisation").first()
        if found is not None:
            message = (
                f"{found.organisation} has a spend cap in {before.currency}, which would be "
                f"another amount in {after.currency}. Remove the cap first."
            )
            raise PriceRefused(message)
    month = Period.of(at)
    live = Organisation.objects.filter(
        parent__in=buyers.filter(kind=Organisation.Kind.RESELLER), is_test=False
    )
    of_these = Q(mailbox__organisation__in=buyers) | Q(mailbox__organisation__in=live)
    priced = Exists(Price.objects.covering(month.first_day).filter(price_list=after))
    unpriced = Contract.objects.filter(of_these, ~priced).exclude(ends_at__lte=month.starts_at)
    contract = unpriced.select_related("plan", "mailbox__organisation").first()
    if contract is not None:
        reason = (
            f"for which {after} has no price from {month.first_day} on. Set one first, or wait for "
            "the next month."
            if after
            else "and without a list nothing says what they cost. Agree on another one."
        )
        owner = contract.mailbox.organisation
        message = f"{owner} has mailboxes on {contract.plan}, {reason}"
        raise PriceRefused(message)


def refuse_to_reach_back(
    buyers: QuerySet[Organisation],
    before: PriceList | None,
    after: PriceList | None,
    *,
    at: datetime,
) -> None:
    """Raise `PriceRefused` while a month that is over waits for its bill.

    A month is billed by the list that holds when it ends, and a bill takes the one that holds
    when it is written. Whoever had no list gets no bill before there is one, and the month stays
    open until then.
    """
    waiting = months.unbilled(buyers, at=at) if before not in {None, after} else None
    if waiting is not None:
        organisation, month = waiting
        message = (
            f"{organisation} has no bill of {month} yet, which is written by the list that held "
            "in it. Change the list once the bill is there."
        )
        raise PriceRefused(message)


def _refuse_to_leave_bills(
    organisation: Organisation, before: PriceList | None, after: PriceList | None
) -> None:
    """Raise `PriceRefused` where what was billed could not go on by the list, or by none."""
    billed = Invoice.objects.filter(customer=organisation).order_by("-pk").first()
    if billed is None or before == after:
        return
    if after is None:
        message = (
            f"{organisation} has bills, and what is put right of them stands on its next one, "
            "which needs a list. Agree on another one."
        )
        raise PriceRefused(message)
    if billed.currency != after.currency:
        message = (
            f"{organisation} has bills in {billed.currency}, so it cannot buy in "
            f"{after.currency}. Open another organisation for that."
        )
        raise PriceRefused(message)


def _refuse_list_of_others(organisation: Organisation, price_list: PriceList) -> None:
    """A list is for buyers of one kind, and its seller is the buyer's or the house."""
    kinds = PriceList.Audience
    is_reseller = organisation.kind == Organisation.Kind.RESELLER
    seller = pricing.seller_of(organisation)
    if price_list.audience != (kinds.WHOLESALE if is_reseller else kinds.RETAIL):
        message = f"{price_list} is for {price_list.get_audience_display().lower()}."
        raise PriceRefused(message)
    if price_list.seller_id not in {None, seller.pk if seller else None}:
        message = f"{organisation} does not buy from whoever keeps {price_list}."
        raise PriceRefused(message)


def _lineage_of_seller(organisation: Organisation) -> tuple[int, ...]:
    return organisation.lineage[1:]
