"""Opening a customer with all that it begins with: its owner, billing details, domain, limits.

It is done whole or not at all. Whatever another module refuses is said of the field it is about.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction

from accounts.access import Actor
from accounts.models import Organisation
from hosting import agreeing, limits, ordering, pricing, profiles, reselling
from hosting.models import BillingProfile, PriceList
from hosting.reselling import Refused
from mailstore import domains


@dataclass(frozen=True, kw_only=True)
class Opening:
    """What a new customer begins with; only the name is needed."""

    name: str
    owner_email: str = ""
    external_ref: str = ""
    domain: str = ""
    # None stands for no limit.
    mailboxes: int | None = None
    domains: int | None = None
    stored_bytes: int | None = None
    # Fields of a billing profile; empty where its owner fills it in.
    billing: dict[str, Any] = field(default_factory=dict)
    # None stands for the list that the seller has for everybody.
    price_list: PriceList | None = None
    is_test: bool = False


@transaction.atomic
def open_with(
    *, actor: Actor, reseller: Organisation, opening: Opening, at: datetime
) -> Organisation:
    """The customer, or `Refused`; load `parent` with the seller."""
    customer = reselling.open_customer(
        actor=actor,
        reseller=reseller,
        name=opening.name,
        owner_email=opening.owner_email or None,
        external_ref=opening.external_ref,
        is_test=opening.is_test,
        at=at,
    )
    if opening.billing:
        _keep_billing(customer, opening, actor=actor, at=at)
    reselling.set_limits(
        actor=actor,
        customer=customer,
        mailboxes=opening.mailboxes,
        domains=opening.domains,
        stored_bytes=opening.stored_bytes,
        at=at,
    )
    if opening.domain:
        with _said_of("domain"):
            ordering.add_domain(actor=actor, organisation=customer, name=opening.domain, at=at)
    return customer


def _keep_billing(customer: Organisation, opening: Opening, *, actor: Actor, at: datetime) -> None:
    profile = BillingProfile(organisation=customer, **opening.billing)
    if opening.price_list is not None:
        with _said_of("price_list"):
            agreeing.agree(actor=actor, profile=profile, price_list=opening.price_list, at=at)
    with _said_of("address"):
        profiles.keep(actor=actor, profile=profile, at=at)


@contextmanager
def _said_of(name: str) -> Iterator[None]:
    try:
        yield
    except ValidationError as refusal:
        raise Refused(" ".join(refusal.messages), field=name) from refusal
    except (
        domains.DomainTaken,
        limits.LimitReached,
        pricing.PriceRefused,
        profiles.ProfileRefused,
    ) as refusal:
        raise Refused(str(refusal), field=name) from refusal
