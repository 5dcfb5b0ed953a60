"""Every address of the panel stands in one table, and each answers as its line says."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum, auto
from uuid import UUID, uuid4

import pytest
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver, reverse

from hosting import invoicing
from hosting.models import Invoice
from hosting.periods import Period
from mailstore import credentials
from mailstore.models import Alarm, PendingChange
from tests.factories import AT, PASSWORD, make_mailbox
from tests.hosting.billing_rows import ACTOR, CLOSED_AT, OCTOBER, make_logo, make_profile, sold

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
    # Whoever may see the bill that the address names; for all others it is absent.
    PAYS = auto()


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
ACCESS = {
    "public:choice": Access(Who.ANYONE),
    "public:estimate": Access(Who.ANYONE),
    "public:health": Access(Who.ANYONE),
    "accounts:sign_in": Access(Who.ANYONE, changes=True),
    "accounts:sign_up": Access(Who.ANYONE, changes=True),
    "accounts:sign_out": Access(Who.ANYONE, reads=False, changes=True),
    "accounts:second_factor": Access(Who.SIGNED_IN, changes=True),
    "accounts:second_factor_enrol": Access(Who.SIGNED_IN, changes=True),
    "dashboard:overview": Access(Who.SIGNED_IN),
    "domains:list": Access(Who.SIGNED_IN),
    "domains:add": Access(Who.SIGNED_IN, reads=False, changes=True),
    "mailboxes:order": Access(Who.SIGNED_IN, changes=True),
    "mailboxes:order_price": Access(Who.SIGNED_IN),
    "mailboxes:detail": READ,
    "mailboxes:use": READ,
    "mailboxes:state": READ,
    "mailboxes:set_up": READ,
    "mailboxes:send_test": Access(Who.SEES, reads=False, changes=True),
    "mailboxes:add_app_password": CHANGE,
    "mailboxes:revoke_app_password": ASK_AND_CHANGE,
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
    "rules:scopes": Access(Who.SIGNED_IN),
    "rules:detail": READ,
    "rules:set": CHANGE,
    "rules:remove": CHANGE,
    "alarms:detail": READ,
    "alarms:dismiss": CHANGE,
    "alarms:roll_back": CHANGE,
    "organisations:close": ASK_AND_CHANGE,
    "organisations:keep": CHANGE,
    "changes:list": Access(Who.SIGNED_IN),
    "changes:call_off": CHANGE,
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
    "billing:remove_logo": Access(Who.PAYS, reads=False, changes=True),
}
# Django's admin makes these itself; one middleware stands before all of them.
STAFF = "admin:"

OF_OBJECTS = [
    name
    for name, access in ACCESS.items()
    if access.who not in {Who.ANYONE, Who.SIGNED_IN, Who.HAS_BILLS}
]
OF_MONEY = [
    name for name in OF_OBJECTS if ACCESS[name].who in {Who.SEES_BILLS, Who.OWNS, Who.STANDS_ABOVE}
]
# These name an organisation. Staff keep those of others behind the second factor.
OF_PROFILES = ["billing:profile", "billing:profile_logo", "billing:set_logo", "billing:remove_logo"]
OF_BILLS = [name for name, access in ACCESS.items() if access.who is Who.PAYS]
READING = [name for name, access in ACCESS.items() if not (access.changes or access.is_signed)]
CHANGING = [name for name, access in ACCESS.items() if access.changes]
# What a form of these needs to get as far as the question who asks.
FORMS = {
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
    "rules:set": {"folder": "Junk", "days": "40", "counted_from": "arrival"},
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
    objects = {
        "mailboxes": mailbox,
        "alarms": alarm,
        "changes": change,
        "rules": cast.domain,
        "costs": cast.customer,
        "billing:customers": cast.reseller,
        "billing:mailbox": mailbox,
        "billing:mailbox_usage": mailbox,
        "billing": make_bill(cast),
        "organisations": cast.customer,
    }

    def make(name: str, *, uuid: UUID | None = None) -> str:
        if name not in OF_OBJECTS:
            return reverse(name)
        namespace = name.partition(":")[0]
        named = objects.get(name) or objects["costs" if name in OF_MONEY else namespace]
        if name in OF_PROFILES:
            named = cast.reseller
        arguments: list[object] = [uuid or named.uuid]
        if namespace == "rules":
            arguments.insert(0, "domain")
        if name == "mailboxes:revoke_app_password":
            arguments.append(issued.app_password.uuid)
        if name.endswith("usage") and namespace == "billing":
            arguments.append(Period.of(AT))
        if name == "mailboxes:change_plan":
            arguments.append("pop")
        return reverse(name, args=arguments)

    return make


def client_of(user):
    client = Client()
    client.force_login(user)
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
    found = {name for name in routes(get_resolver().url_patterns) if not name.startswith(STAFF)}

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
    [n for n in OF_OBJECTS if ACCESS[n].reads and n not in {*OF_MONEY, *OF_BILLS}],
)
@pytest.mark.parametrize("person", ["alice", "bob", "rita", "sam"])
def test_whoever_may_see_it_sees_it(name, person, cast, address):
    response = client_of(getattr(cast, person)).get(address(name))

    assert response.status_code == 200


@pytest.mark.parametrize("name", OF_BILLS)
@pytest.mark.parametrize(
    ("person", "status"), [("rita", 200), ("sam", 200), ("alice", 404), ("bob", 404)]
)
def test_whoever_pays_or_sells_sees_the_bill(name, person, status, cast, address):
    response = client_of(getattr(cast, person)).get(address(name))

    is_elsewhere = person == "sam" and name in OF_PROFILES
    expected = 404 if is_elsewhere else status
    assert response.status_code == (expected if ACCESS[name].reads else 405)


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


@pytest.mark.parametrize("name", CHANGING)
def test_no_change_without_the_forms_own_token(name, cast, address):
    client = Client(enforce_csrf_checks=True)
    client.force_login(cast.alice)

    assert client.post(address(name), FORMS.get(name, {})).status_code == 403


@pytest.mark.parametrize("name", [n for n in ACCESS if not ACCESS[n].reads])
def test_nothing_changes_by_reading(name, cast, address):
    assert client_of(cast.alice).get(address(name)).status_code == 405


@pytest.mark.parametrize(
    "name", [n for n in ACCESS if not (ACCESS[n].changes or ACCESS[n].is_signed)]
)
def test_what_only_reads_takes_no_form(name, cast, address):
    assert client_of(cast.alice).post(address(name)).status_code == 405


@pytest.mark.parametrize("person", ["alice", "bob", "charlie", "rita", "sam"])
@pytest.mark.parametrize("path", ["", "accounts/user/", "mailstore/mailbox/", "nowhere/"])
def test_no_staff_page_opens_without_a_second_factor(person, path, cast):
    response = client_of(getattr(cast, person)).get(f"/staff/{path}")

    assert response.status_code == 302
    assert response.headers["Location"].startswith(reverse("accounts:second_factor"))
