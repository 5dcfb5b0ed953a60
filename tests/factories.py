"""The cast: Alice owns, Bob is on her team, Charlie is a stranger, Rita resells, Sam is staff."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from importlib import import_module

from accounts import membership
from accounts.access import Actor, system
from accounts.models import Membership, Organisation, User
from hosting import ordering
from hosting.models import InvoiceCounter, Plan, Price, PriceList, VatRate
from mailstore import domains
from mailstore.models import Domain, Mailbox, RetentionPolicy, RetentionRule

AT = datetime(2026, 11, 2, 9, 30, tzinfo=UTC)
PASSWORD = "four plain words here"
_PRICED = ("monthly_price", "included_bytes", "storage_price")


@dataclass(frozen=True, kw_only=True)
class Cast:
    provider: Organisation
    reseller: Organisation
    customer: Organisation
    other_customer: Organisation
    alice: User
    bob: User
    charlie: User
    rita: User
    sam: User
    domain: Domain
    other_domain: Domain

    @staticmethod
    def actor(user: User) -> Actor:
        return membership.actor_for(user)


def make_plans() -> None:
    """The plans and prices of the migrations, which tests that really commit have lost."""
    if Plan.objects.exists():
        return
    plans = import_module("hosting.migrations.0002_first_plans").PLANS
    prices = {each["slug"]: {name: each.get(name, 0) for name in _PRICED} for each in plans}
    for plan in plans:
        Plan.objects.create(**{name: plan[name] for name in plan if name not in _PRICED})
    first = import_module("hosting.migrations.0005_first_prices")
    for audience, share in (("retail", Decimal(1)), ("wholesale", first.WHOLESALE)):
        price_list = PriceList.objects.create(
            name=audience.title(), audience=audience, currency="EUR", is_default=True
        )
        for plan in Plan.objects.all():
            costs = prices[plan.slug]
            Price.objects.create(
                price_list=price_list,
                plan=plan,
                starts_on=first.FIRST_DAY,
                monthly_price=round(costs["monthly_price"] * share, 2),
                included_bytes=costs["included_bytes"],
                storage_price=round(costs["storage_price"] * share, 2),
            )
    VatRate.objects.bulk_create(first.vat_rates(VatRate))
    InvoiceCounter.objects.create(seller=None, prefix="R-")


def make_policies() -> None:
    """The policies of the migration, which a test that commits has emptied."""
    migration = import_module("mailstore.migrations.0005_first_retention_policies")
    for slug, rules in migration.POLICIES.items():
        policy, is_new = RetentionPolicy.objects.get_or_create(
            slug=slug, defaults={"name": slug.upper()}
        )
        if is_new:
            RetentionRule.objects.bulk_create(RetentionRule(policy=policy, **r) for r in rules)


def make_cast() -> Cast:
    make_plans()
    make_policies()
    kinds, roles = Organisation.Kind, Membership.Role
    provider = Organisation.objects.create(kind=kinds.PROVIDER, name="Restante")
    reseller = Organisation.objects.create(kind=kinds.RESELLER, name="Rowan", parent=provider)
    customer = Organisation.objects.create(kind=kinds.CUSTOMER, name="Alder", parent=reseller)
    other = Organisation.objects.create(kind=kinds.CUSTOMER, name="Juniper", parent=provider)
    return Cast(
        provider=provider,
        reseller=reseller,
        customer=customer,
        other_customer=other,
        alice=make_member("alice@example.test", customer, roles.OWNER),
        bob=make_member("bob@example.test", customer, roles.READ_ONLY),
        charlie=make_member("charlie@example.test", other, roles.OWNER),
        rita=make_member("rita@example.test", reseller, roles.OWNER),
        sam=make_member("sam@example.test", provider, roles.OPERATOR),
        domain=make_domain("alder.test", customer),
        other_domain=make_domain("juniper.test", other),
    )


def make_member(email: str, organisation: Organisation, role: Membership.Role) -> User:
    name = email.partition("@")[0].title()
    user = User.objects.create_user(email, PASSWORD, name=name, email_verified_at=AT)
    membership.add_member(
        actor=system("tests"),
        organisation=organisation,
        user=user,
        role=role,
        at=AT,
    )
    user.refresh_from_db()
    return user


def make_domain(name: str, organisation: Organisation) -> Domain:
    return domains.add(actor=system("tests"), organisation=organisation, name=name, at=AT)


def make_mailbox(
    domain: Domain, local_part: str = "hello", protocol: str = "imap", *, is_ready: bool = True
) -> Mailbox:
    mailbox = ordering.order(
        actor=system("tests"),
        domain=domain,
        local_part=local_part,
        plan=Plan.objects.get(slug=protocol),
        at=AT,
    )
    if is_ready:
        Mailbox.objects.filter(pk=mailbox.pk).update(state=Mailbox.State.ACTIVE)
        mailbox.refresh_from_db()
    return mailbox
