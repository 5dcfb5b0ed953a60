"""What each role may see and do, page by page: one table for people, sellers, guests and staff."""

from __future__ import annotations

import copy

import pytest
from django.db import transaction
from django.utils import timezone

from accounts import visits
from accounts.models import Event
from tests.factories import make_member
from tests.staffing import signed_in
from tests.test_access import ACCESS, FORMS, Who, address

__all__ = ["address"]
pytestmark = pytest.mark.django_db(databases=["default", "reports"])

# Who asks, with where they have which role. All pages are about Alder, a customer of Rowan, or
# about Rowan itself; a visitor is Rowan's owner who acts in Alder.
PEOPLE = {
    "owner": ("customer", "owner"),
    "admin": ("customer", "admin"),
    "billing": ("customer", "billing"),
    "reader": ("customer", "read_only"),
    "visitor": ("reseller", "owner"),
    "seller's owner": ("reseller", "owner"),
    "seller's admin": ("reseller", "admin"),
    "seller's billing": ("reseller", "billing"),
    "seller's reader": ("reseller", "read_only"),
    "support": ("provider", "support"),
    "staff for billing": ("provider", "staff_billing"),
    "operator": ("provider", "operator"),
}
ALL = frozenset(PEOPLE)
LEAVERS = frozenset({"owner", "admin", "billing", "reader"})
SEES_MAIL = ALL - {"billing", "seller's billing", "staff for billing"}
MANAGES = SEES_MAIL - {"reader", "seller's reader"}
SEES_BILLS = ALL - {"admin", "reader", "seller's admin", "seller's reader", "support"}
# Of the seller's own bills, prices and profile.
SEES_SELLERS_BILLS = SEES_BILLS - {"owner", "billing", "visitor"}
SELLS = frozenset(each for each in ALL if each.startswith("seller")) | {
    "support",
    "staff for billing",
    "operator",
}
SELLING = SELLS & MANAGES
SETS_PRICES = frozenset({"seller's owner", "staff for billing", "operator"})
KEEPS_PROFILE = frozenset({"seller's owner", "seller's billing"})
OWNS = frozenset({"owner", "seller's owner"})
KEEPS_KEYS = OWNS | {"operator"}
KEEPS_SELLERS = frozenset({"seller's owner", "operator"})
SELLERS_OWNER = frozenset({"seller's owner"})

# Who gets an answer by looking, and whose change is made; anybody else is refused.
LOOKS = {
    "access:list": ALL,
    "activity:home": ALL,
    "activity:csv": ALL,
    "activity:json_lines": ALL,
    "activity:proof": KEEPS_KEYS,
    "people:list": ALL,
    "people:detail": ALL,
    "people:invite": MANAGES,
    "people:leave": LEAVERS,
    "people:change_role": MANAGES,
    "people:remove": MANAGES,
    "customers:list": SELLS,
    "customers:export": SELLS,
    "customers:open": SELLING,
    "customers:import": SELLING,
    "customers:prices": SEES_SELLERS_BILLS,
    "customers:detail": SELLS,
    "customers:edit": SELLING,
    "customers:suspend": SELLING,
    "customers:enter": SELLING,
    "customers:import_detail": SELLING,
    "customers:prices_of": SEES_SELLERS_BILLS,
    "customers:set_price": SETS_PRICES,
    "dashboard:overview": ALL,
    "domains:list": ALL,
    "domains:detail": ALL,
    "rules:scopes": ALL,
    "changes:list": ALL,
    "organisations:app_passwords": SEES_MAIL,
    "organisations:close": ALL,
    "organisations:factor": KEEPS_KEYS,
    "organisations:lost_factor": MANAGES,
    "mailboxes:order": ALL,
    "mailboxes:order_price": ALL,
    "rules:detail": SEES_MAIL,
    "alarms:detail": SEES_MAIL,
    "keys:list": KEEPS_KEYS,
    "keys:make": KEEPS_KEYS,
    "keys:detail": OWNS,
    "keys:secret": OWNS,
    "keys:rotate": OWNS,
    "billing:home": ALL,
    "billing:detail": SEES_BILLS,
    "billing:summary": SEES_BILLS,
    "billing:customers": SEES_SELLERS_BILLS,
    "billing:usage": SEES_BILLS,
    "billing:mailbox": SEES_BILLS,
    "billing:mailbox_usage": SEES_BILLS,
    "billing:payment": SEES_SELLERS_BILLS,
    "billing:record_payment": KEEPS_PROFILE,
    "billing:take_back_payment": KEEPS_PROFILE,
    "billing:invoices": SEES_BILLS,
    "billing:issued": SEES_BILLS,
    "billing:invoice": SEES_SELLERS_BILLS,
    "billing:invoice_pdf": SEES_SELLERS_BILLS,
    "billing:invoice_lines": SEES_SELLERS_BILLS,
    "billing:invoice_logo": SEES_SELLERS_BILLS,
    "billing:statement": SEES_SELLERS_BILLS,
    "billing:statement_pdf": SEES_SELLERS_BILLS,
    "billing:profiles": SEES_BILLS,
    "billing:profile": KEEPS_PROFILE,
    "billing:profile_logo": KEEPS_PROFILE,
    "webhooks:list": KEEPS_KEYS,
    "webhooks:make": KEEPS_KEYS,
    "webhooks:detail": KEEPS_SELLERS,
    "webhooks:edit": KEEPS_SELLERS,
    "webhooks:remove": KEEPS_SELLERS,
    "webhooks:delivery": KEEPS_SELLERS,
    "look:mine": SELLERS_OWNER,
    "look:detail": SELLERS_OWNER,
    "look:preview": SELLERS_OWNER,
    # Nobody has a draft with a logo.
    "look:draft_logo": frozenset(),
    **{
        name: SEES_MAIL
        for name, access in ACCESS.items()
        if name.startswith("mailboxes:") and access.who in {Who.SEES, Who.MANAGES} and access.reads
    },
}
DOES = {
    "people:invite": MANAGES,
    "people:leave": LEAVERS,
    "people:send_again": MANAGES,
    "people:withdraw": MANAGES,
    "people:change_role": MANAGES,
    "people:remove": MANAGES,
    "customers:open": SELLING,
    "customers:import": SELLING,
    # It ends one's own visit, if there is one.
    "customers:leave": ALL,
    "customers:edit": SELLING,
    "customers:suspend": SELLING,
    "customers:resume": SELLING,
    "customers:invite": frozenset({"seller's owner", "operator"}),
    "customers:enter": SELLING,
    "customers:import_confirm": SELLING,
    "customers:import_cancel": SELLING,
    "customers:own_prices": SETS_PRICES,
    "customers:set_price": SETS_PRICES,
    "customers:withdraw_price": SETS_PRICES,
    "domains:add": MANAGES,
    "domains:look": MANAGES,
    "mailboxes:order": MANAGES,
    "rules:set": MANAGES,
    "rules:remove": MANAGES,
    "alarms:dismiss": MANAGES,
    "alarms:roll_back": MANAGES,
    "organisations:close": MANAGES,
    "organisations:default_app_passwords": MANAGES,
    "organisations:require_app_passwords": MANAGES,
    "organisations:demand_factor": KEEPS_KEYS,
    "organisations:lost_factor": MANAGES,
    "organisations:found_factor": MANAGES,
    "organisations:withdraw_factor": KEEPS_KEYS,
    "organisations:keep": MANAGES,
    "changes:call_off": MANAGES,
    "keys:make": KEEPS_KEYS,
    "keys:rotate": OWNS,
    "keys:revoke": OWNS,
    "keys:revoke_with_made": OWNS,
    "billing:set_own_cap": frozenset({"owner", "staff for billing", "operator"}),
    "billing:set_cap_above": SETS_PRICES,
    "billing:pay": SEES_SELLERS_BILLS,
    "billing:record_payment": KEEPS_PROFILE,
    "billing:take_back_payment": KEEPS_PROFILE,
    "billing:profile": KEEPS_PROFILE,
    "billing:set_logo": KEEPS_PROFILE,
    "billing:remove_logo": KEEPS_PROFILE,
    "webhooks:make": KEEPS_KEYS,
    "webhooks:edit": KEEPS_SELLERS,
    "webhooks:remove": KEEPS_SELLERS,
    "webhooks:rotate": KEEPS_SELLERS,
    "webhooks:disable": KEEPS_SELLERS,
    "webhooks:enable": KEEPS_SELLERS,
    "webhooks:ping": KEEPS_SELLERS,
    "webhooks:send_again": KEEPS_SELLERS,
    **{
        name: SELLERS_OWNER
        for name, access in ACCESS.items()
        if access.who is Who.RESELLS and access.changes
    },
    **{
        name: MANAGES
        for name, access in ACCESS.items()
        if name.startswith("mailboxes:") and access.who is Who.MANAGES
    },
}
# Of nobody's role: signing in and out, and what anybody sees.
OF_NO_ROLE = {
    name
    for name, access in ACCESS.items()
    if access.who is Who.ANYONE or name.startswith("accounts:")
}
# Their forms say why not, with the page; there is no other sign of a refusal.
SAYS_SO = {"domains:add", "mailboxes:order"}


def browser_of(cast, who):
    level, role = PEOPLE[who]
    user = make_member("rose@example.test", getattr(cast, level), role)
    client = signed_in(user)
    if who == "visitor":
        visit = visits.begin(
            actor=cast.actor(user),
            organisation=cast.customer,
            reason="Set up a phone",
            at=timezone.now(),
        )
        session = client.session
        session[visits.SESSION_KEY] = str(visit.uuid)
        session.save()
    return client


def is_let_in(client, method, path, fields, *, says_so=False):
    """Whether it is answered; whatever it did is undone, and so are its cookies."""
    # That somebody from above looked is noted whatever comes of it.
    facts = Event.objects.exclude(kind="mailbox.looked_at")
    before, count = copy.deepcopy(client.cookies), facts.count()
    with transaction.atomic():
        response = getattr(client, method)(path, fields)
        b"".join(response.streaming_content) if response.streaming else response.content
        response.close()
        did = facts.count() > count
        transaction.set_rollback(True)
    client.cookies = before
    return did if says_so else response.status_code not in {403, 404}


def test_every_page_stands_in_the_table():
    reads = {name for name, access in ACCESS.items() if access.reads and not access.is_signed}
    changes = {name for name, access in ACCESS.items() if access.changes}

    assert set(LOOKS) == reads - OF_NO_ROLE
    assert set(DOES) == changes - OF_NO_ROLE


@pytest.mark.parametrize("who", PEOPLE)
def test_each_page_answers_each_role_as_the_table_says(who, cast, address, counts):
    client = browser_of(cast, who)
    forms = FORMS | {
        "domains:add": {"name": "new.test", "organisation": str(cast.customer.uuid)},
        "mailboxes:order": {
            "domain": "alder.test",
            "local_part": "new",
            "protocol": "pop",
            "label": "Till",
        },
    }
    wrong = []
    for method, table in (("get", LOOKS), ("post", DOES)):
        for name, allowed in table.items():
            fields = forms.get(name, {}) if method == "post" else {}
            says_so = method == "post" and name in SAYS_SO
            found = is_let_in(client, method, address(name), fields, says_so=says_so)
            counts(pages_by_role=1)
            if found is not (who in allowed):
                wrong.append((method, name, found))

    assert wrong == []


@pytest.mark.parametrize("who", ["reader", "seller's reader"])
def test_whoever_may_only_read_leaves_no_fact_by_any_form(who, cast, address, counts):
    client = browser_of(cast, who)
    left = []
    for name in set(DOES) - {"people:leave"}:
        fields = FORMS.get(name, {})
        if is_let_in(client, "post", address(name), fields, says_so=True):
            left.append(name)
        counts(forms_of_readers=1)

    assert left == []
