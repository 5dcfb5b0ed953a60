"""Every address of the panel stands in one table, and each answers as its line says."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, timedelta
from enum import Enum, auto
from uuid import UUID, uuid4

import pytest
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver, reverse
from django.utils import timezone

from accounts import invitations, inviting
from accounts.models import Authenticator, Event, FactorLoss, Membership, Organisation
from accounts.second_factor import authenticators, demanding
from hosting import invoicing, ledger, price_lists
from hosting.models import CustomerImport, Invoice, Plan, Price, WebhookDelivery, WebhookEndpoint
from hosting.periods import Period
from mailstore import credentials
from mailstore.models import Alarm, Device, PendingChange, Restriction
from tests.factories import AT, PASSWORD, make_mailbox
from tests.hosting.api.caller import make_key
from tests.hosting.billing_rows import ACTOR, CLOSED_AT, OCTOBER, make_logo, make_profile, sold
from tests.hosting.brand_rows import make_brand
from tests.hosting.ledger_rows import make_bill as bill_row
from tests.staffing import SECRET, by_password_alone, signed_in, stale

pytestmark = pytest.mark.django_db(databases=["default", "reports"])


class Who(Enum):
    """Who is let in."""

    ANYONE = auto()
    SIGNED_IN = auto()
    # Whoever may see the thing that the address names; a stranger's is as absent.
    SEES = auto()
    # As above, and whose role allows managing mail.
    MANAGES = auto()
    # Whoever may see the thing, and whose role shows bills.
    SEES_BILLS = auto()
    # As above, and who owns the organisation that pays.
    OWNS = auto()
    # As above, of an organisation that stands above it.
    STANDS_ABOVE = auto()
    # Whoever has a role that shows bills anywhere, and their own ones only.
    HAS_BILLS = auto()
    # Whoever owns an organisation, and of that only.
    OWNS_SOME = auto()
    # Whoever owns the organisation of the key that the address names, or one above it.
    OWNS_KEY = auto()
    # Whoever owns the organisation that the address names, or one above it.
    OWNS_IT = auto()
    # As above, and staff.
    OWNS_WHOLE = auto()
    # Whoever keeps keys of any organisation, and their own webhooks only.
    HAS_KEYS = auto()
    # Whoever keeps the webhook that the address names; for all others it is absent.
    KEEPS = auto()
    # Whoever may see the bill that the address names; for all others it is absent.
    PAYS = auto()
    # Whoever's own organisation issued the bill that the address names; for all others, staff
    # too, it is absent.
    IS_PAID = auto()
    # Whoever's organisation has customers; for all others there are no such pages.
    SELLS = auto()
    # As above, and the thing that the address names is its own or a customer's.
    SELLS_TO = auto()
    # Whoever owns the reseller that the address names; for all others it is absent.
    RESELLS = auto()
    # Whoever may see the organisation, and whose role manages its people.
    LEADS = auto()
    # Whoever belongs to the organisation itself.
    BELONGS = auto()


@dataclass(frozen=True)
class Access:
    who: Who
    reads: bool = True
    changes: bool = False
    # It comes from a program that proves itself by a signature and has no cookie.
    is_signed: bool = False


READ = Access(Who.SEES)
CHANGE = Access(Who.MANAGES, reads=False, changes=True)
ASK_AND_CHANGE = Access(Who.MANAGES, changes=True)
COST = Access(Who.SEES_BILLS)
BILL = Access(Who.PAYS)
SELLS = Access(Who.SELLS)
SOLD = Access(Who.SELLS_TO)
ASK_AND_SELL = Access(Who.SELLS_TO, changes=True)
SELL = Access(Who.SELLS_TO, reads=False, changes=True)
KEEP = Access(Who.KEEPS, reads=False, changes=True)
LOOK = Access(Who.RESELLS)
CHANGE_LOOK = Access(Who.RESELLS, reads=False, changes=True)
ACCESS = {
    "public:choice": Access(Who.ANYONE),
    "public:estimate": Access(Who.ANYONE),
    "public:health": Access(Who.ANYONE),
    "public:security_txt": Access(Who.ANYONE),
    "reference:home": Access(Who.ANYONE),
    "reference:group": Access(Who.ANYONE),
    "reference:quick_start": Access(Who.ANYONE),
    "reference:document": Access(Who.ANYONE),
    "accounts:sign_in": Access(Who.ANYONE, changes=True),
    "accounts:sign_up": Access(Who.ANYONE, changes=True),
    "accounts:open_account": Access(Who.ANYONE, changes=True),
    "accounts:sign_out": Access(Who.ANYONE, reads=False, changes=True),
    "accounts:second_factor": Access(Who.SIGNED_IN, changes=True),
    "accounts:second_factor_enrol": Access(Who.SIGNED_IN, changes=True),
    "accounts:password_again": Access(Who.SIGNED_IN, changes=True),
    "accounts:go_on": Access(Who.SIGNED_IN),
    "accounts:passkey_add": Access(Who.SIGNED_IN),
    "accounts:passkey_words": Access(Who.ANYONE),
    # The scripts of a page ask these; they refuse by a status.
    "accounts:passkey_begin_adding": Access(Who.ANYONE, reads=False, changes=True),
    "accounts:passkey_finish_adding": Access(Who.ANYONE, reads=False, changes=True),
    "accounts:passkey_begin_showing": Access(Who.ANYONE, reads=False, changes=True),
    "accounts:passkey_finish_showing": Access(Who.ANYONE, reads=False, changes=True),
    "accounts:factor_lost": Access(Who.SIGNED_IN, changes=True),
    # By links of letters.
    "accounts:factor_lost_begin": Access(Who.ANYONE, changes=True),
    "accounts:factor_found": Access(Who.ANYONE, changes=True),
    "accounts:factors": Access(Who.SIGNED_IN),
    "accounts:rename_factor": Access(Who.SIGNED_IN, changes=True),
    "accounts:remove_factor": Access(Who.SIGNED_IN, changes=True),
    "accounts:recovery_codes": Access(Who.SIGNED_IN, changes=True),
    "accounts:invitation": Access(Who.ANYONE, changes=True),
    "accounts:security": Access(Who.SIGNED_IN),
    "accounts:change_password": Access(Who.SIGNED_IN, reads=False, changes=True),
    "accounts:change_address": Access(Who.SIGNED_IN, reads=False, changes=True),
    "accounts:keep_address": Access(Who.SIGNED_IN, reads=False, changes=True),
    "accounts:end_session": Access(Who.SIGNED_IN, reads=False, changes=True),
    "accounts:end_other_sessions": Access(Who.SIGNED_IN, reads=False, changes=True),
    "accounts:send_confirmation": Access(Who.SIGNED_IN, reads=False, changes=True),
    # Whoever has the link of a letter, or asks for one.
    "accounts:confirm_address": Access(Who.ANYONE, changes=True),
    "accounts:confirm_new_address": Access(Who.ANYONE, changes=True),
    "accounts:take_back_address": Access(Who.ANYONE, changes=True),
    "accounts:forgotten_password": Access(Who.ANYONE, changes=True),
    "accounts:reset_password": Access(Who.ANYONE, changes=True),
    "access:list": Access(Who.SIGNED_IN),
    "activity:home": Access(Who.SIGNED_IN),
    "activity:csv": Access(Who.SIGNED_IN),
    "activity:json_lines": Access(Who.SIGNED_IN),
    "activity:proof": Access(Who.OWNS_WHOLE),
    "people:list": Access(Who.SIGNED_IN),
    "people:detail": READ,
    "people:invite": Access(Who.LEADS, changes=True),
    "people:leave": Access(Who.BELONGS, changes=True),
    "people:send_again": Access(Who.LEADS, reads=False, changes=True),
    "people:withdraw": Access(Who.LEADS, reads=False, changes=True),
    "people:change_role": Access(Who.LEADS, changes=True),
    "people:remove": Access(Who.LEADS, changes=True),
    "customers:list": SELLS,
    "customers:export": SELLS,
    "customers:open": Access(Who.SELLS, changes=True),
    "customers:import": Access(Who.SELLS, changes=True),
    "customers:prices": SELLS,
    "customers:leave": Access(Who.SIGNED_IN, reads=False, changes=True),
    "customers:detail": SOLD,
    "customers:edit": ASK_AND_SELL,
    "customers:suspend": ASK_AND_SELL,
    "customers:resume": SELL,
    "customers:invite": SELL,
    "customers:enter": ASK_AND_SELL,
    "customers:import_detail": SOLD,
    "customers:import_confirm": SELL,
    "customers:import_cancel": SELL,
    "customers:prices_of": SOLD,
    "customers:own_prices": SELL,
    "customers:set_price": ASK_AND_SELL,
    "customers:withdraw_price": SELL,
    "dashboard:overview": Access(Who.SIGNED_IN),
    "domains:list": Access(Who.SIGNED_IN),
    "domains:add": Access(Who.SIGNED_IN, reads=False, changes=True),
    "domains:detail": READ,
    "domains:look": CHANGE,
    "mailboxes:order": Access(Who.SIGNED_IN, changes=True),
    "mailboxes:order_price": Access(Who.SIGNED_IN),
    "mailboxes:detail": READ,
    "mailboxes:use": READ,
    "mailboxes:state": READ,
    "mailboxes:set_up": READ,
    "mailboxes:send_test": CHANGE,
    "mailboxes:add_app_password": CHANGE,
    "mailboxes:revoke_app_password": ASK_AND_CHANGE,
    "mailboxes:devices": READ,
    "mailboxes:place_letters": CHANGE,
    "mailboxes:confirm_device": CHANGE,
    "mailboxes:lock_out_device": CHANGE,
    "mailboxes:leave_copies": CHANGE,
    "mailboxes:sign_ins": READ,
    "mailboxes:change_app_password": ASK_AND_CHANGE,
    "mailboxes:require_app_passwords": CHANGE,
    "mailboxes:allow_mailbox_password": CHANGE,
    "mailboxes:end_sessions": CHANGE,
    "mailboxes:set_password": CHANGE,
    "mailboxes:change_quota": CHANGE,
    "mailboxes:plans": READ,
    "mailboxes:change_plan": ASK_AND_CHANGE,
    "mailboxes:take_back_plan": CHANGE,
    "mailboxes:suspend": CHANGE,
    "mailboxes:resume": CHANGE,
    "mailboxes:close": ASK_AND_CHANGE,
    "mailboxes:reopen": CHANGE,
    "mailboxes:removed": READ,
    "mailboxes:restore": CHANGE,
    "mailboxes:restore_progress": READ,
    "mailboxes:roll_back": CHANGE,
    "mailboxes:empty_store": ASK_AND_CHANGE,
    "mailboxes:retention": READ,
    "mailboxes:set_rule": CHANGE,
    "mailboxes:remove_rule": CHANGE,
    "mailboxes:set_window": CHANGE,
    "mailboxes:set_tripwire": CHANGE,
    "mailboxes:set_thresholds": CHANGE,
    "mailboxes:fates": READ,
    "rules:scopes": Access(Who.SIGNED_IN),
    "rules:detail": READ,
    "rules:set": CHANGE,
    "rules:remove": CHANGE,
    "alarms:detail": READ,
    "alarms:dismiss": CHANGE,
    "alarms:roll_back": CHANGE,
    "organisations:close": ASK_AND_CHANGE,
    "organisations:keep": CHANGE,
    "organisations:app_passwords": READ,
    "organisations:default_app_passwords": CHANGE,
    "organisations:require_app_passwords": CHANGE,
    "organisations:factor": Access(Who.OWNS_IT),
    "organisations:demand_factor": Access(Who.OWNS_IT, reads=False, changes=True),
    "organisations:withdraw_factor": Access(Who.OWNS_IT, reads=False, changes=True),
    "organisations:lost_factor": Access(Who.OWNS_IT, changes=True),
    "organisations:found_factor": Access(Who.OWNS_IT, reads=False, changes=True),
    "changes:list": Access(Who.SIGNED_IN),
    "changes:call_off": CHANGE,
    "keys:list": Access(Who.OWNS_SOME),
    "keys:make": Access(Who.OWNS_SOME, changes=True),
    "keys:detail": Access(Who.OWNS_KEY),
    "keys:secret": Access(Who.OWNS_KEY),
    "keys:rotate": Access(Who.OWNS_KEY, changes=True),
    "keys:revoke": Access(Who.OWNS_KEY, reads=False, changes=True),
    "keys:revoke_with_made": Access(Who.OWNS_KEY, reads=False, changes=True),
    "billing:home": Access(Who.SIGNED_IN),
    "billing:detail": COST,
    "billing:summary": COST,
    "billing:set_own_cap": Access(Who.OWNS, reads=False, changes=True),
    "billing:set_cap_above": Access(Who.STANDS_ABOVE, reads=False, changes=True),
    "billing:customers": COST,
    "billing:usage": COST,
    "billing:mailbox": COST,
    "billing:mailbox_usage": COST,
    "billing:pay": Access(Who.PAYS, reads=False, changes=True),
    "billing:payment": BILL,
    "billing:record_payment": Access(Who.IS_PAID, changes=True),
    "billing:take_back_payment": Access(Who.IS_PAID, changes=True),
    "payments:stripe_webhook": Access(Who.ANYONE, reads=False, is_signed=True),
    "billing:invoices": Access(Who.HAS_BILLS),
    "billing:issued": Access(Who.HAS_BILLS),
    "billing:invoice": BILL,
    "billing:invoice_pdf": BILL,
    "billing:invoice_lines": BILL,
    "billing:invoice_logo": BILL,
    "billing:statement": BILL,
    "billing:statement_pdf": BILL,
    "billing:profiles": Access(Who.HAS_BILLS),
    "billing:profile": Access(Who.PAYS, changes=True),
    "billing:profile_logo": BILL,
    "billing:set_logo": Access(Who.PAYS, reads=False, changes=True),
    "webhooks:list": Access(Who.HAS_KEYS),
    "webhooks:make": Access(Who.HAS_KEYS, changes=True),
    "webhooks:detail": Access(Who.KEEPS),
    "webhooks:edit": Access(Who.KEEPS, changes=True),
    "webhooks:remove": Access(Who.KEEPS, changes=True),
    "webhooks:rotate": KEEP,
    "webhooks:disable": KEEP,
    "webhooks:enable": KEEP,
    "webhooks:ping": KEEP,
    "webhooks:delivery": Access(Who.KEEPS),
    "webhooks:send_again": KEEP,
    "billing:remove_logo": Access(Who.PAYS, reads=False, changes=True),
    "brand:style": Access(Who.ANYONE),
    "brand:logo": Access(Who.ANYONE),
    "tls:allowed": Access(Who.ANYONE),
    # It leads those on who own a reseller, and is absent for others.
    "look:mine": Access(Who.SIGNED_IN),
    "look:detail": LOOK,
    "look:preview": LOOK,
    "look:draft_logo": LOOK,
    "look:try_out": CHANGE_LOOK,
    "look:keep": CHANGE_LOOK,
    "look:forget": CHANGE_LOOK,
    "look:put_back": CHANGE_LOOK,
    "look:claim_host": CHANGE_LOOK,
    "look:look_at_host": CHANGE_LOOK,
    "look:give_up_host": CHANGE_LOOK,
}
# Django's admin makes these itself; one middleware stands before all of them.
STAFF = "admin:"
HTMX = {"headers": {"HX-Request": "true", "HX-Current-URL": "http://testserver/overview/"}}
# Programs come with a key. What each operation needs, it declares, and tests/hosting/api walks.
PROGRAMS = "api:"

OF_OBJECTS = [
    name
    for name, access in ACCESS.items()
    if access.who
    not in {
        Who.ANYONE,
        Who.SIGNED_IN,
        Who.HAS_BILLS,
        Who.HAS_KEYS,
        Who.SELLS,
        Who.OWNS_SOME,
    }
]
OF_MONEY = [
    name for name in OF_OBJECTS if ACCESS[name].who in {Who.SEES_BILLS, Who.OWNS, Who.STANDS_ABOVE}
]
# These name an organisation. Staff keep those of others behind the second factor.
OF_PROFILES = ["billing:profile", "billing:profile_logo", "billing:set_logo", "billing:remove_logo"]
OF_PRICES = [
    "customers:prices_of",
    "customers:own_prices",
    "customers:set_price",
    "customers:withdraw_price",
]
OF_SELLERS = [name for name, access in ACCESS.items() if access.who is Who.SELLS_TO]
OF_DEVICES = {
    "mailboxes:confirm_device",
    "mailboxes:lock_out_device",
    "mailboxes:leave_copies",
}
OF_KEYS = [name for name in OF_OBJECTS if name.startswith("keys:")]
OF_KEEPERS = [name for name, access in ACCESS.items() if access.who is Who.KEEPS]
OF_OWNERS = [name for name, access in ACCESS.items() if access.who is Who.OWNS_IT]
OF_LOOKS = [name for name, access in ACCESS.items() if access.who is Who.RESELLS]
OF_LEADERS = [name for name, access in ACCESS.items() if access.who is Who.LEADS]
OF_MEMBERS = [name for name, access in ACCESS.items() if access.who is Who.BELONGS]
OF_BOOKS = [name for name, access in ACCESS.items() if access.who is Who.IS_PAID]
OF_BILLS = [name for name, access in ACCESS.items() if access.who is Who.PAYS]
READING = [name for name, access in ACCESS.items() if not (access.changes or access.is_signed)]
CHANGING = [name for name, access in ACCESS.items() if access.changes]
# What a form of these needs to get as far as the question who asks.
FORMS = {
    "mailboxes:change_app_password": {"protocols": ["imap"]},
    "mailboxes:add_app_password": {"label": "Laptop", "protocols": ["imap"]},
    "mailboxes:change_quota": {"gigabytes": "1"},
    "mailboxes:change_plan": {"address": "hello@alder.test"},
    "mailboxes:close": {"address": "hello@alder.test"},
    "organisations:close": {"name": "Alder"},
    "mailboxes:empty_store": {"address": "hello@alder.test", "password": PASSWORD},
    "mailboxes:roll_back": {"moment": "2026-11-01T10:00"},
    "mailboxes:set_rule": {"folder": "Junk", "days": "40", "counted_from": "arrival"},
    "billing:set_own_cap": {"amount": "20"},
    "billing:set_cap_above": {"amount": "30"},
    "mailboxes:set_window": {"window_days": "40"},
    "customers:edit": {"name": "Alder"},
    "customers:enter": {"reason": "Set up a phone"},
    "customers:invite": {"email": "dora@example.test"},
    "customers:open": {"name": "Hazel"},
    "customers:set_price": {
        "plan": "pop",
        "starts_on": "2031-01-01",
        "monthly_price": "2",
    },
    "customers:suspend": {"reason": "They asked for it"},
    "people:invite": {"email": "dora@example.test", "role": "read_only"},
    "people:change_role": {"role": "admin"},
    "rules:set": {"folder": "Junk", "days": "40", "counted_from": "arrival"},
    "organisations:default_app_passwords": {"state": "on"},
    "organisations:require_app_passwords": {"expected": "0"},
    "organisations:demand_factor": {"grace_days": "14"},
}
# What asks again who sits there (`accounts.stepping_up`): keys, money, recovery, the end of things,
# who owns, what opens a mailbox, and where secrets go. Every other address that changes something
# stands below.
FRESH = {
    "billing:record_payment",
    "billing:take_back_payment",
    "customers:own_prices",
    "customers:set_price",
    "customers:withdraw_price",
    "mailboxes:allow_mailbox_password",
    "mailboxes:change_app_password",
    "mailboxes:require_app_passwords",
    "keys:make",
    "keys:rotate",
    "mailboxes:close",
    "mailboxes:empty_store",
    "mailboxes:set_window",
    "mailboxes:set_tripwire",
    "mailboxes:set_thresholds",
    "organisations:close",
    "organisations:default_app_passwords",
    "organisations:require_app_passwords",
    "organisations:demand_factor",
    "organisations:withdraw_factor",
    "organisations:lost_factor",
    "billing:set_own_cap",
    "billing:set_cap_above",
    "billing:profile",
    "customers:invite",
    "customers:open",
    "webhooks:make",
    "webhooks:edit",
    "webhooks:rotate",
    "accounts:second_factor_enrol",
    "accounts:recovery_codes",
    "accounts:remove_factor",
}
# What it may change without asking, since it can be undone, stops something, or asks by itself.
WITHOUT_ASKING = {
    "mailboxes:confirm_device",
    "mailboxes:end_sessions",
    "mailboxes:leave_copies",
    "mailboxes:lock_out_device",
    "mailboxes:place_letters",
    "accounts:sign_in",
    "accounts:sign_up",
    "accounts:open_account",
    "accounts:sign_out",
    "accounts:second_factor",
    "accounts:password_again",
    "accounts:passkey_begin_adding",
    "accounts:passkey_finish_adding",
    "accounts:passkey_begin_showing",
    "accounts:passkey_finish_showing",
    "accounts:factor_lost",
    "accounts:factor_lost_begin",
    "accounts:factor_found",
    "accounts:rename_factor",
    "accounts:invitation",
    # The password is a field of these, and whoever has a second factor proves it before.
    "accounts:change_password",
    "accounts:change_address",
    "accounts:keep_address",
    "accounts:end_session",
    "accounts:end_other_sessions",
    "accounts:send_confirmation",
    "accounts:confirm_address",
    "accounts:confirm_new_address",
    "accounts:take_back_address",
    "accounts:forgotten_password",
    "accounts:reset_password",
    # These ask where an owner is made or unmade.
    "people:invite",
    "people:send_again",
    "people:change_role",
    "people:remove",
    "people:withdraw",
    "people:leave",
    "customers:import",
    "customers:leave",
    "customers:edit",
    "customers:suspend",
    "customers:resume",
    "customers:enter",
    "customers:import_confirm",
    "customers:import_cancel",
    "domains:add",
    "domains:look",
    "mailboxes:order",
    "mailboxes:send_test",
    "mailboxes:add_app_password",
    "mailboxes:revoke_app_password",
    "mailboxes:set_password",
    "mailboxes:change_quota",
    "mailboxes:change_plan",
    "mailboxes:take_back_plan",
    "mailboxes:suspend",
    "mailboxes:resume",
    "mailboxes:reopen",
    "mailboxes:restore",
    "mailboxes:roll_back",
    "mailboxes:set_rule",
    "mailboxes:remove_rule",
    "rules:set",
    "rules:remove",
    "alarms:dismiss",
    "alarms:roll_back",
    "organisations:keep",
    "organisations:found_factor",
    "changes:call_off",
    "keys:revoke",
    "keys:revoke_with_made",
    "billing:pay",
    "payments:stripe_webhook",
    "billing:set_logo",
    "webhooks:remove",
    "webhooks:disable",
    "webhooks:enable",
    "webhooks:ping",
    "webhooks:send_again",
    "billing:remove_logo",
    "look:try_out",
    "look:keep",
    "look:forget",
    "look:put_back",
    "look:claim_host",
    "look:look_at_host",
    "look:give_up_host",
}


def routes(patterns, namespaces=()):
    for pattern in patterns:
        if isinstance(pattern, URLResolver):
            inner = (*namespaces, pattern.namespace) if pattern.namespace else namespaces
            yield from routes(pattern.url_patterns, inner)
        elif isinstance(pattern, URLPattern):
            yield ":".join((*namespaces, pattern.name or "?"))


def make_bill(cast):
    """One to Rita's Rowan, which has a logo, since only resellers get statements."""
    for organisation in (cast.provider, cast.reseller):
        make_profile(organisation, logo=make_logo(organisation))
    sold(cast.domain, "billed", "pop")
    invoicing.close_month(actor=ACTOR, period=OCTOBER, at=CLOSED_AT)
    return Invoice.objects.get(customer=cast.reseller)


def make_delivery(cast):
    """Rita's webhook, and what it was told of Alice's company."""
    endpoint = WebhookEndpoint.objects.create(
        organisation=cast.reseller,
        url="https://shop.example.com/",
        state_since=AT,
        created_by="Rita",
        created_at=AT,
    )
    event = Event.objects.filter(organisation=cast.customer).earliest("seq")
    delivery = WebhookDelivery.objects.create(
        endpoint=endpoint,
        event=event,
        position=1,
        event_type="mailbox.created",
        next_try_at=AT,
        created_at=AT,
    )
    return endpoint, delivery


@pytest.fixture
def address(cast, twin):
    """Makes the path of a route for something of Alice's, or for what is nowhere."""
    mailbox = make_mailbox(cast.domain)
    twin.know(mailbox.address)
    issued = credentials.issue(actor=cast.actor(cast.sam), mailbox=mailbox, label="Phone", at=AT)
    alarm = Alarm.objects.create(mailbox=mailbox, at=AT, since=AT, messages=1, bytes=1, reason="x")
    change = PendingChange.objects.create(
        organisation=cast.customer,
        mailbox=mailbox,
        kind="close",
        sentence="x",
        asked_at=AT,
        effective_at=AT,
    )
    endpoint, delivery = make_delivery(cast)
    loss = FactorLoss.objects.create(
        user=cast.alice, asked_at=AT, due_at=AT + timedelta(days=3), told_at=AT
    )
    device = Device.objects.create(
        mailbox=mailbox,
        credential="-",
        protocol="imap",
        first_at=AT,
        last_at=AT,
        last_address="203.0.113.7",
    )
    invitation = inviting.invite(
        actor=cast.actor(cast.alice),
        organisation=cast.customer,
        email="guest@example.test",
        role="read_only",
        at=timezone.now(),
    )
    bob = Membership.objects.get(user=cast.bob)
    own = price_lists.open_own(actor=ACTOR, seller=cast.reseller, at=AT)
    later = Price.objects.create(
        price_list=own, plan=Plan.objects.first(), starts_on=date(2031, 2, 1), monthly_price=1
    )
    retail = bill_row(cast.customer, 500, seller=cast.reseller)
    payment = ledger.take(
        actor=cast.actor(cast.rita),
        invoice=retail,
        amount_minor=200,
        received_on=AT.date(),
        external_id="receipt 1",
        at=timezone.now(),
    )
    listed = CustomerImport.objects.create(
        seller=cast.reseller, file_name="x", content="name\nHazel", created_by=cast.rita
    )
    objects = {
        "webhooks": endpoint,
        **dict.fromkeys(OF_PRICES, cast.reseller),
        "customers": cast.customer,
        "customers:import_detail": listed,
        "customers:import_confirm": listed,
        "customers:import_cancel": listed,
        "mailboxes": mailbox,
        "alarms": alarm,
        "changes": change,
        "rules": cast.domain,
        "domains": cast.domain,
        "costs": cast.customer,
        "billing:customers": cast.reseller,
        "billing:mailbox": mailbox,
        "billing:mailbox_usage": mailbox,
        "billing": make_bill(cast),
        **dict.fromkeys(OF_BOOKS, retail),
        "organisations": cast.customer,
        "activity": cast.customer,
        "keys": make_key(cast.customer).api_key,
        "look": cast.reseller,
        "people": cast.customer,
    }
    of_no_object = {
        "reference:group": ["mailboxes"],
        "accounts:invitation": [invitations.token_for(invitation)],
        "accounts:go_on": ["none"],
        "accounts:factor_lost_begin": ["none"],
        "accounts:factor_found": ["none"],
        "accounts:rename_factor": ["app", 0],
        "accounts:remove_factor": ["app", 0],
        "brand:style": ["#24479f", "#a3bff7", "0" * 16],
        "brand:logo": [UUID(int=0), 1],
    }

    and_more: dict[str, list[object]] = {
        **{name: [device.uuid] for name in OF_DEVICES},
        "mailboxes:change_app_password": [issued.app_password.uuid],
        "mailboxes:revoke_app_password": [issued.app_password.uuid],
        "webhooks:delivery": [delivery.uuid],
        "webhooks:send_again": [delivery.uuid],
        "billing:usage": [Period.of(AT)],
        "billing:mailbox_usage": [Period.of(AT)],
        "customers:withdraw_price": [later.pk],
        "mailboxes:change_plan": ["pop"],
        "people:send_again": [invitation.uuid],
        "people:withdraw": [invitation.uuid],
        "people:change_role": [bob.uuid],
        "people:remove": [bob.uuid],
        "organisations:demand_factor": ["own"],
        "organisations:withdraw_factor": ["own"],
        "organisations:found_factor": [loss.uuid],
        "billing:take_back_payment": [payment.uuid],
    }

    def make(name: str, *, uuid: UUID | None = None) -> str:
        if name not in OF_OBJECTS:
            return reverse(name, args=of_no_object.get(name, []))
        namespace = name.partition(":")[0]
        named = objects.get(name) or objects["costs" if name in OF_MONEY else namespace]
        if name in OF_PROFILES:
            named = cast.reseller
        arguments: list[object] = [uuid or named.uuid, *and_more.get(name, [])]
        if namespace == "rules":
            arguments.insert(0, "domain")
        return reverse(name, args=arguments)

    return make


def client_of(user):
    client = Client()
    signed_in(user, client)
    return client


def ask(client, path, *, name):
    access = ACCESS[name]
    return client.get(path) if access.reads else client.post(path, FORMS.get(name, {}))


def content_of(response):
    """The page without the token that is new in each answer."""
    return re.sub(rb'name="csrfmiddlewaretoken" value="[^"]*"', b"", response.content)


def is_led_to_sign_in(response):
    return response.status_code == 302 and response.headers["Location"].startswith(
        reverse("accounts:sign_in"),
    )


def test_every_route_stands_in_the_table():
    named = set(routes(get_resolver().url_patterns))
    found = {name for name in named if not name.startswith((STAFF, PROGRAMS))}

    assert found == set(ACCESS)


@pytest.mark.parametrize("name", ACCESS)
def test_nobody_passes_unless_the_table_says_anyone(name, address):
    response = ask(Client(), address(name), name=name)

    assert is_led_to_sign_in(response) == (ACCESS[name].who is not Who.ANYONE) or (
        name == "accounts:sign_out"
    )


@pytest.mark.parametrize("name", OF_OBJECTS)
@pytest.mark.parametrize("method", ["get", "post"])
def test_what_is_a_strangers_answers_like_what_is_absent(name, method, cast, address):
    charlie = client_of(cast.charlie)
    client_method = getattr(charlie, method)

    foreign = client_method(address(name), FORMS.get(name, {}))
    absent = client_method(address(name, uuid=uuid4()), FORMS.get(name, {}))

    assert foreign.status_code == absent.status_code
    assert foreign.status_code in {404, 405}
    assert content_of(foreign) == content_of(absent)


@pytest.mark.parametrize(
    "name",
    [
        name
        for name in OF_OBJECTS
        if ACCESS[name].reads and ACCESS[name].who in {Who.SEES, Who.MANAGES}
    ],
)
@pytest.mark.parametrize("person", ["alice", "bob", "rita", "sam"])
def test_whoever_may_see_it_sees_it(name, person, cast, address):
    response = client_of(getattr(cast, person)).get(address(name))

    assert response.status_code == 200


@pytest.mark.parametrize("name", [n for n in ACCESS if ACCESS[n].who is Who.OWNS_WHOLE])
@pytest.mark.parametrize(
    ("person", "status"), [("alice", 200), ("rita", 200), ("sam", 200), ("bob", 403)]
)
def test_all_of_an_organisation_is_taken_away_by_its_owners(name, person, status, cast, address):
    response = client_of(getattr(cast, person)).get(address(name))

    assert response.status_code == status


@pytest.mark.parametrize("name", [n for n in ACCESS if ACCESS[n].who is Who.HAS_KEYS])
@pytest.mark.parametrize(
    ("person", "status"), [("rita", 200), ("alice", 200), ("sam", 200), ("bob", 403)]
)
def test_webhooks_are_listed_for_whoever_keeps_keys(name, person, status, cast, address):
    response = client_of(getattr(cast, person)).get(address(name))

    assert response.status_code == status


@pytest.mark.parametrize("name", OF_KEEPERS)
@pytest.mark.parametrize(
    ("person", "status"), [("rita", 200), ("sam", 200), ("alice", 404), ("bob", 404)]
)
def test_webhook_is_there_for_whoever_keeps_it(name, person, status, cast, address):
    """It is Rita's, who is above Alice; what Alice's own webhooks hear, Rita sees as well."""
    response = ask(client_of(getattr(cast, person)), address(name), name=name)

    expected = 302 if status == 200 and not ACCESS[name].reads else status
    assert response.status_code == expected


@pytest.mark.parametrize("name", OF_BILLS)
@pytest.mark.parametrize(
    ("person", "status"), [("rita", 200), ("sam", 200), ("alice", 404), ("bob", 404)]
)
def test_whoever_pays_or_sells_sees_the_bill(name, person, status, cast, address):
    response = client_of(getattr(cast, person)).get(address(name))

    is_elsewhere = person == "sam" and name in OF_PROFILES
    expected = 404 if is_elsewhere else status
    assert response.status_code == (expected if ACCESS[name].reads else 405)


@pytest.mark.parametrize("name", OF_BOOKS)
@pytest.mark.parametrize(
    ("person", "status"), [("rita", 200), ("sam", 404), ("alice", 404), ("bob", 404)]
)
def test_whoever_is_paid_keeps_the_books(name, person, status, cast, address):
    response = client_of(getattr(cast, person)).get(address(name))

    assert response.status_code == status


@pytest.mark.parametrize("name", [n for n in ACCESS if ACCESS[n].who is Who.SELLS])
@pytest.mark.parametrize(
    ("person", "status"),
    [("rita", 200), ("sam", 200), ("alice", 404), ("bob", 404), ("charlie", 404)],
)
def test_pages_of_sellers_are_there_for_sellers(name, person, status, cast, address):
    response = client_of(getattr(cast, person)).get(address(name), follow=True)

    assert response.status_code == status


@pytest.mark.parametrize("name", OF_SELLERS)
@pytest.mark.parametrize("person", ["rita", "sam", "alice", "bob", "charlie"])
def test_a_customer_is_looked_after_by_who_sells_to_it(name, person, cast, address):
    """Alice owns the customer; what Rita's Rowan keeps about it is not hers to see."""
    response = ask(client_of(getattr(cast, person)), address(name), name=name)

    if person in {"rita", "sam"}:
        assert response.status_code == (200 if ACCESS[name].reads else 302)
    else:
        assert response.status_code == 404


@pytest.mark.parametrize("name", OF_LEADERS)
@pytest.mark.parametrize("person", ["alice", "bob", "charlie", "rita", "sam"])
def test_people_are_managed_by_who_leads(name, person, cast, address):
    """Bob may only read, and sees who belongs to the organisation without changing it."""
    response = ask(client_of(getattr(cast, person)), address(name), name=name)

    expected = {"bob": 403, "charlie": 404}.get(person, 200 if ACCESS[name].reads else 302)
    assert response.status_code == expected


@pytest.mark.parametrize("name", OF_MEMBERS)
@pytest.mark.parametrize(
    ("person", "status"),
    [("alice", 200), ("bob", 200), ("charlie", 404), ("rita", 404), ("sam", 404)],
)
def test_members_leave_what_they_belong_to(name, person, status, cast, address):
    response = ask(client_of(getattr(cast, person)), address(name), name=name)

    assert response.status_code == status


@pytest.mark.parametrize("name", OF_LOOKS)
@pytest.mark.parametrize("person", ["alice", "bob", "charlie", "rita", "sam"])
def test_look_of_a_reseller_is_its_owners(name, person, cast, address):
    make_brand(cast.reseller, logo=make_logo(cast.reseller))

    response = ask(client_of(getattr(cast, person)), address(name), name=name)

    allowed = {200, 302} if person == "rita" else {404}
    assert response.status_code in allowed


@pytest.mark.parametrize("name", [n for n in ACCESS if ACCESS[n].who is Who.HAS_BILLS])
@pytest.mark.parametrize(("person", "status"), [("alice", 200), ("bob", 403), ("sam", 200)])
def test_bills_are_listed_for_roles_that_show_them(name, person, status, cast, address):
    response = client_of(getattr(cast, person)).get(address(name), follow=True)

    assert response.status_code == status


@pytest.mark.parametrize("name", [n for n in OF_OBJECTS if ACCESS[n].who is Who.MANAGES])
def test_read_only_changes_nothing(name, cast, address):
    response = client_of(cast.bob).post(address(name), FORMS.get(name, {}))

    assert response.status_code == 403


@pytest.mark.parametrize("name", OF_MONEY)
@pytest.mark.parametrize("person", ["alice", "bob", "charlie", "rita", "sam"])
def test_money_is_shown_and_capped_by_role(name, person, cast, address):
    """Alice owns the customer and Rita the reseller above it; Bob's role shows no bills."""
    lets_in = {
        Who.SEES_BILLS: {"alice", "rita", "sam"},
        Who.OWNS: {"alice", "sam"},
        Who.STANDS_ABOVE: {"rita", "sam"},
    }[ACCESS[name].who]
    hidden = {"charlie"}
    if name == "billing:customers":
        lets_in, hidden = {"rita", "sam"}, {"alice", "bob", "charlie"}

    response = ask(client_of(getattr(cast, person)), address(name), name=name)

    if person in hidden:
        assert response.status_code == 404
    elif person in lets_in:
        assert response.status_code == (200 if ACCESS[name].reads else 302)
    else:
        assert response.status_code == 403


@pytest.mark.parametrize("name", OF_KEYS)
@pytest.mark.parametrize(
    ("person", "lets_in"),
    [("alice", True), ("rita", True), ("bob", False), ("sam", False)],
)
def test_keys_are_managed_by_owners(name, person, lets_in, cast, address):
    """Staff revoke keys on their own pages, and make none."""
    response = ask(client_of(getattr(cast, person)), address(name), name=name)

    if not lets_in:
        assert response.status_code == 403
    elif name in {"keys:detail", "keys:rotate"}:
        assert response.status_code == 200
    else:
        assert response.headers["Location"].startswith("/keys/")


@pytest.mark.parametrize("name", [n for n in ACCESS if ACCESS[n].who is Who.OWNS_SOME])
@pytest.mark.parametrize(
    ("person", "lets_in"), [("alice", True), ("rita", True), ("bob", False), ("sam", True)]
)
def test_keys_are_listed_for_owners(name, person, lets_in, cast, address):
    """Sam is an operator, and so keeps the keys of the house itself."""
    client = client_of(getattr(cast, person))

    responses = [client.get(address(name))]
    if ACCESS[name].changes:
        responses.append(client.post(address(name)))

    for response in responses:
        assert response.status_code in ({200, 422} if lets_in else {403})


@pytest.mark.parametrize("name", CHANGING)
def test_no_change_without_the_forms_own_token(name, cast, address):
    client = Client(enforce_csrf_checks=True)
    signed_in(cast.alice, client)

    assert client.post(address(name), FORMS.get(name, {})).status_code == 403


@pytest.mark.parametrize("name", [n for n in ACCESS if not ACCESS[n].reads])
def test_nothing_changes_by_reading(name, cast, address):
    assert client_of(cast.alice).get(address(name)).status_code == 405


@pytest.mark.parametrize(
    "name", [n for n in ACCESS if not (ACCESS[n].changes or ACCESS[n].is_signed)]
)
def test_what_only_reads_takes_no_form(name, cast, address):
    assert client_of(cast.alice).post(address(name)).status_code == 405


@pytest.mark.parametrize("name", OF_OWNERS)
@pytest.mark.parametrize(
    ("person", "status"),
    [("alice", 200), ("rita", 200), ("sam", 200), ("bob", 403), ("charlie", 404)],
)
def test_owners_say_who_needs_a_second_factor(name, person, status, cast, address):
    response = ask(client_of(getattr(cast, person)), address(name), name=name)

    expected = 302 if status == 200 and not ACCESS[name].reads else status
    assert response.status_code == expected


# The second factor ----------------------------------------------------------------------


def has_proof_for(route):
    """Whether a session without its second factor is answered there nevertheless."""
    namespace, _colon, name = route.partition(":")
    return namespace in OPEN_NAMESPACES or name in OPEN_NAMES.get(namespace, set())


# What `accounts.middleware` lets through, by the names of routes instead of by paths.
OPEN_NAMESPACES = {"public", "reference", "brand", "tls", "payments"}
OPEN_NAMES = {
    "accounts": {
        "sign_in",
        "sign_up",
        "open_account",
        "sign_out",
        "invitation",
        "second_factor",
        "second_factor_enrol",
        "password_again",
        "go_on",
        "passkey_add",
        "passkey_words",
        "passkey_begin_adding",
        "passkey_finish_adding",
        "passkey_begin_showing",
        "passkey_finish_showing",
        "factor_lost",
        "factor_lost_begin",
        "factor_found",
        "confirm_address",
        "confirm_new_address",
        "take_back_address",
        "forgotten_password",
        "reset_password",
    }
}
SHUT = [name for name in ACCESS if not has_proof_for(name)]
TO_FACTOR = "/account/second-factor/?next="


def half_in(person):
    """A customer who has enrolled a factor, or somebody who must and has not."""
    if not demanding.standing(person, at=AT).must:
        authenticators.give(person, secret=SECRET)
    return by_password_alone(person)


@pytest.mark.parametrize("name", SHUT)
def test_no_page_opens_for_a_session_without_its_second_factor(name, cast, address, counts):
    path, form = address(name), FORMS.get(name, {})

    for person in (cast.alice, cast.rita, cast.sam):
        client = half_in(person)
        for answer in (client.get(path), client.post(path, form)):
            assert answer.status_code == 302
            assert answer.headers["Location"].startswith(TO_FACTOR)
        for answer in (client.get(path, **HTMX), client.post(path, form, **HTMX)):
            assert answer.status_code == 200
            assert answer.headers["HX-Redirect"].startswith(TO_FACTOR)
            assert answer.content == b""
        counts(requests=4)


@pytest.mark.parametrize("name", [name for name in ACCESS if has_proof_for(name)])
def test_open_pages_say_nothing_of_the_house_inside(name, cast, address):
    """They show what they show to anybody, or no more than the form that proves the factor."""
    Restriction.objects.create(
        organisation=cast.customer, cause="staff", reason="Debts here.", imposed_at=AT
    )
    Organisation.objects.filter(pk=cast.customer.pk).update(state="suspended")
    client, path = half_in(cast.alice), address(name)

    answers = [client.get(path, follow=True)]
    if ACCESS[name].changes and name != "accounts:sign_out":
        answers.append(client.post(path, follow=True))

    for answer in answers:
        assert b"Debts here." not in answer.content
        assert b'class="nav"' not in answer.content
        assert reverse("dashboard:overview").encode() not in main_of(answer)


def main_of(response):
    """Beside the name of the house, which leads to the first page of whoever asks."""
    return response.content.partition(b"<main")[2].partition(b"</main>")[0]


@pytest.mark.parametrize("operation", ["organisations", "mailboxes", "keys"])
def test_a_session_opens_no_door_of_programs(operation, cast):
    for client in (half_in(cast.rita), client_of(cast.alice)):
        assert client.get(f"/api/v1/{operation}").status_code in {401, 404}


@pytest.mark.parametrize("person", ["alice", "rita", "sam"])
@pytest.mark.parametrize(
    "path", ["", "login/", "logout/", "password_change/", "jsi18n/", "accounts/user/", "nowhere/"]
)
def test_no_staff_page_opens_without_a_second_factor(person, path, cast):
    client = by_password_alone(getattr(cast, person))

    for response in (client.get(f"/staff/{path}"), client.post(f"/staff/{path}")):
        assert response.status_code == 302
        assert response.headers["Location"].startswith(TO_FACTOR)


@pytest.mark.parametrize(
    "path", ["/nowhere", "/STAFF/", "/account/second-factor", "/overview/staff/"]
)
def test_what_nobody_named_is_shut(path, cast):
    response = half_in(cast.rita).get(path)

    assert response.headers["Location"].startswith(TO_FACTOR)


@pytest.mark.parametrize(
    "path",
    [
        "/overview/../staff/",
        "/account/sign-in/../../staff/",
        "/staff//accounts/",
        "/static/./staff/",
    ],
)
def test_a_detour_to_what_is_shut_leads_nowhere(path, cast):
    """It is refused before anybody looks who asks: not even to where the factor is shown."""
    for client in (Client(), half_in(cast.rita), client_of(cast.sam)):
        response = client.generic("GET", path)

        assert response.status_code == 400
        assert "Location" not in response.headers


# Asking again ---------------------------------------------------------------------------


def test_each_change_either_asks_again_or_is_known_not_to():
    changing = {name for name in ACCESS if ACCESS[name].changes or ACCESS[name].is_signed}

    assert changing == FRESH | WITHOUT_ASKING
    assert not FRESH & WITHOUT_ASKING


@pytest.mark.parametrize("name", sorted(FRESH))
def test_what_matters_asks_again_who_sits_there(name, cast, address):
    """Alice has a password alone, Rita a second factor; an hour ago is too long for both."""
    path = address(name)
    for person, where in ((cast.alice, "password_again"), (cast.rita, "second_factor")):
        client = stale(client_of(person))
        device = Authenticator.objects.filter(user=person).first()
        if name == "accounts:remove_factor":
            # Whoever has no device has none to remove.
            path = reverse(name, args=["app", device.pk if device else 0])

        answer = client.post(path, FORMS.get(name, {}))

        if name == "accounts:remove_factor" and device is None:
            assert answer.status_code == 404
        else:
            assert answer.status_code == 302
            expected = f"{reverse(f'accounts:{where}')}?next="
            assert answer.headers["Location"].startswith(expected)
