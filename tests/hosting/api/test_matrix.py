"""Every operation, for every kind of caller: the tenant, its seller, a sibling, a stranger.

The operations are found by walking the addresses of the API, so that a new one cannot be left out.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from uuid import uuid4

import pytest
from django.db import transaction
from django.urls import URLPattern, URLResolver
from django.utils import timezone

from accounts import inviting, keyring, keys
from accounts.models import Membership, Organisation
from hosting import exports, feed, invoicing, public_ids
from hosting.api import recoverable, urls
from hosting.api.contract import Match, Operation
from hosting.models import Invoice, MailboxImport, WebhookDelivery
from hosting.request_limits import is_plain
from hosting.webhooks import endpoints, feeding
from mailstore import cooling, credentials, holding
from mailstore.models import PurgeRun, RestoreRun, RetentionRule
from tests.factories import AT, make_mailbox
from tests.hosting.api.caller import Caller, make_key
from tests.hosting.billing_rows import ACTOR, CLOSED_AT, OCTOBER, make_profile, sold

pytestmark = pytest.mark.django_db(databases=["default", "reports"])


@dataclass(frozen=True)
class Route:
    """One method of one address."""

    path: str
    method: str
    promise: Operation

    @property
    def ids(self) -> list[tuple[str, str]]:
        return re.findall(r"<(\w+):(\w+)>", self.path)

    @property
    def match(self) -> Match:
        return self.promise.match_of(self.method.upper(), names_a_thing=bool(self.ids))

    def __str__(self) -> str:
        return self.promise.name


def routes(patterns=urls.urlpatterns, prefix=""):
    for pattern in patterns:
        path = prefix + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            yield from routes(pattern.url_patterns, path)
        elif isinstance(pattern, URLPattern):
            view = pattern.callback.view_class
            for method in ("get", "post", "patch", "put", "delete"):
                handler = getattr(view, method, None)
                if handler is not None:
                    yield Route(f"/{path}", method, handler.operation)


ROUTES = list(routes())
OF_THINGS = [route for route in ROUTES if any(kind in public_ids.KINDS for kind, _ in route.ids)]
# What an operation needs to get as far as the question whose thing it is.
QUERIES = {"get_message_fate": "?folder=INBOX&uid=1"}
BODIES = {
    "create_app_password": {"label": "Phone"},
    "update_app_password": {"networks": ["192.0.2.0/24"]},
    "update_sign_in": {"app_passwords_only": True},
    "update_mailbox": {"label": "Desk"},
    "update_mailbox_retention": {"window_days": 31},
    "change_plan": {"plan": "pop"},
    "switch_protocol": {"protocol": "pop"},
    "restore_messages": {"ids": [recoverable.id_of(folder="INBOX", uid=1)]},
    "roll_back_mailbox": {"to": "2026-11-20T12:00:00Z"},
    "empty_recoverable": {"address": "hello@alder.test"},
    "release_hold": {"reason": "x"},
    "create_invitation": {"email": "dora@example.test", "role": "admin"},
    "update_member": {"role": "admin"},
    "update_organisation": {"name": "Alders"},
    "suspend_organisation": {"reason": "x"},
    "resume_organisation": {"reason": "x"},
    "update_webhook_endpoint": {"description": "x"},
    "rotate_webhook_secret": {"overlap_seconds": 0},
    "rotate_api_key": {"overlap_seconds": 0},
    "advance_test_clock": {"by_seconds": 60},
}
# A file holds what whoever asked for it may see, so nobody else is let in, not even its seller.
OF_ASKERS = {"get_export", "get_export_content", "discard_export"}
# Beside what is deleted: money, ends, and what protects mail from them.
MUST_NAME_A_VERSION = {
    "change_plan",
    "close_mailbox",
    "confirm_import",
    "empty_recoverable",
    "release_hold",
    "restore_mailbox",
    "switch_protocol",
    "take_back_plan",
    "update_organisation",
}
# Headers that no two answers have in common.
EACH_TIME = ("Request-Id", "RateLimit")
# A live organisation has no clock of its own, so for Alice these are absent.
OF_TESTS = {"get_test_clock", "advance_test_clock"}


@pytest.fixture(autouse=True)
def _laptop(settings):
    settings.ALLOW_PRIVATE_WEBHOOKS = True
    settings.RATE_LIMIT_KEY_PER_MINUTE = settings.RATE_LIMIT_ORGANISATION_PER_MINUTE = 10**6


@pytest.fixture
def ids(cast, twin):
    """The public id of something of Alice's, for each kind that an address can name."""
    mailbox = make_mailbox(cast.domain)
    twin.know(mailbox.address)
    twin.accounts[mailbox.address].folders["INBOX"].append(b"x")
    issued = credentials.issue(actor=cast.actor(cast.sam), mailbox=mailbox, label="x", at=AT)
    hook = endpoints.make(
        actor=ACTOR, organisation=cast.customer, url="http://127.0.0.1:9/", at=AT
    ).endpoint
    found = {
        "org": cast.customer,
        "mbx": mailbox,
        "pwd": issued.app_password,
        "dom": cast.domain,
        "whe": hook,
        "key": make_key(cast.customer).api_key,
        "mem": Membership.objects.get(user=cast.bob),
        "ivt": inviting.invite(
            actor=ACTOR, organisation=cast.customer, email="x@example.test", role="admin", at=AT
        ),
        **lists_of(cast),
        **mail_work(cast, mailbox),
        **bills(cast),
    }
    event = endpoints.ping(actor=ACTOR, endpoint=hook, at=AT)
    feeding.feed_all(at=AT)
    found["whd"] = WebhookDelivery.objects.get(event=event)
    found["opn"] = found["rst"]
    named = {prefix: public_ids.encode(prefix, thing.uuid) for prefix, thing in found.items()}
    return {**named, "evt": feed.names().encode(event.seq)}


def lists_of(cast):
    by = make_key(cast.customer).api_key
    row = {"organisation": cast.customer, "created_by_key": by, "file_name": "x.csv"}
    listed = MailboxImport.objects.create(content="address,plan\n", row_count=1, **row)
    wanted = exports.Wanted()
    file = exports.ask(
        actor=keyring.actor_with(by),
        by=by,
        organisation=cast.customer,
        kind="activity",
        wanted=wanted,
        at=AT,
    )
    exports.run(export_id=file.pk, now=timezone.now)
    return {"imp": listed, "exp": file}


def mail_work(cast, mailbox):
    """What waits, holds, removes and restores; one of each that an address can name."""
    planned = {"planned_at": AT, "planned_by": "x"}
    change = cooling.ask_to_empty_store(
        actor=ACTOR, mailbox=mailbox, until=AT, wait=timedelta(1), at=AT
    )
    return {
        "chg": change,
        "hld": holding.place(
            actor=ACTOR, by=cast.sam, scope=mailbox, matter="x", reason="x", at=AT
        ),
        "prg": PurgeRun.objects.create(mailbox=mailbox, kind="store", **planned),
        "rst": RestoreRun.objects.create(mailbox=mailbox, **planned),
        "rtp": RetentionRule.objects.create(mailbox=mailbox, folder="Junk", days=90),
    }


def bills(cast):
    for organisation in (cast.provider, cast.reseller):
        make_profile(organisation)
    sold(cast.domain, "billed", "pop")
    invoicing.close_month(actor=ACTOR, period=OCTOBER, at=CLOSED_AT)
    invoice = Invoice.objects.get(customer=cast.customer)
    note = invoicing.credit(actor=ACTOR, invoice=invoice, reason="x", at=CLOSED_AT)
    return {"inv": invoice, "crn": note}


def path_of(route, ids):
    def named(match):
        kind = match.group(1)
        return ids[kind] if kind in public_ids.KINDS else "imap"

    return re.sub(r"<(\w+):(\w+)>", named, route.path)


def send(caller, route, ids, *, if_match="*"):
    method = getattr(caller, route.method)
    is_named = if_match is not None and (if_match != "*" or route.match is not Match.NEVER)
    headers = {"if_match": if_match} if is_named else {}
    if route.method in {"get", "delete"}:
        return method(path_of(route, ids) + QUERIES.get(route.promise.name, ""), **headers)
    return method(path_of(route, ids), BODIES.get(route.promise.name), **headers)


def without_request(answer):
    return answer.content.replace(answer.headers["Request-Id"].encode(), b"")


def test_every_operation_that_takes_a_body_of_a_thing_has_one_here(counts):
    needing = {
        route.promise.name for route in OF_THINGS if route.promise.takes and route.method != "get"
    }

    assert needing <= set(BODIES)
    counts(operations=len(ROUTES))


@pytest.mark.parametrize("route", ROUTES, ids=str)
def test_nobody_passes_without_a_key(route):
    anything = {prefix: public_ids.encode(prefix, uuid4()) for prefix in public_ids.KINDS}

    answer = send(Caller(), route, anything)

    assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")


@pytest.mark.parametrize("route", ROUTES, ids=str)
def test_no_other_scope_will_do(route, cast):
    anything = {prefix: public_ids.encode(prefix, uuid4()) for prefix in public_ids.KINDS}
    needed = (route.promise.scope, *route.promise.one_of)
    others = [scope for scope in keys.SCOPES if scope not in needed]

    answer = send(Caller(make_key(cast.reseller, *others).secret), route, anything)

    assert (answer.status_code, answer.json()["code"]) == (403, "scope-missing")
    assert answer.json()["scope"] == next(each for each in needed if each)


def test_what_is_not_ones_own_answers_like_what_is_absent(cast, ids, counts):
    """A stranger, a reseller beside Alice's, its customer, and keys for another customer."""
    absent = {prefix: public_ids.encode(prefix, uuid4()) for prefix in ids}
    wrong = []
    for made in outsiders(cast):
        caller = Caller(made.secret)
        for route in OF_THINGS:
            foreign, nowhere = send(caller, route, ids), send(caller, route, absent)
            is_absent = (foreign.status_code, foreign.json()["code"]) == (404, "not-found")
            if not is_absent or without_request(foreign) != without_request(nowhere):
                wrong.append((str(route), made.api_key.organisation.name, foreign.status_code))
            counts(pairs=1)

    assert wrong == []


def outsiders(cast):
    sibling = Organisation.objects.create(kind="reseller", name="Sibling", parent=cast.provider)
    cousin = Organisation.objects.create(kind="customer", name="Cousin", parent=sibling)
    brother = Organisation.objects.create(kind="customer", name="Ash", parent=cast.reseller)
    return [
        make_key(cast.other_customer),
        make_key(sibling),
        make_key(cousin),
        make_key(brother),
        make_key(cast.reseller, only_for=(brother,)),
        make_key(cast.reseller, is_test=True),
    ]


@pytest.mark.parametrize("whose", ["own", "seller"])
def test_the_tenant_and_its_seller_are_let_in(whose, cast, ids, counts):
    caller = Caller(make_key(cast.customer if whose == "own" else cast.reseller).secret)
    wrong = []
    shut_to = OF_TESTS | (set() if whose == "own" else OF_ASKERS)
    of_live_things = [each for each in OF_THINGS if each.promise.name not in shut_to]
    for route in sorted(of_live_things, key=lambda each: each.method != "get"):
        answer = undone(lambda route=route: send(caller, route, ids))
        answer.close()
        shut = {401, 404, 405, 415, 500, 503} if route.method != "get" else {*range(201, 600)}
        if answer.status_code in shut:
            wrong.append((str(route), answer.status_code))
        counts(calls=1)

    assert wrong == []


def undone(work):
    """The result of some work, of which nothing is left."""
    point = transaction.savepoint()
    try:
        return work()
    finally:
        transaction.savepoint_rollback(point)


def test_head_is_answered_as_get_without_the_body(cast, ids, counts):
    """Of what is there, of what is not, and where a parameter is wrong."""
    caller = Caller(make_key(cast.customer).secret)
    absent = {prefix: public_ids.encode(prefix, uuid4()) for prefix in ids}
    wrong = []
    for route in (each for each in ROUTES if each.method == "get"):
        path = path_of(route, ids) + QUERIES.get(route.promise.name, "")
        for address in (path, path_of(route, absent), f"{path_of(route, ids)}?such=1"):
            full, head = caller.get(address), caller.head(address)
            if head_of(full) != head_of(head) or b"".join(head):
                wrong.append((str(route), address, head_of(full), head_of(head)))
            full.close()
            counts(calls=1)

    assert wrong == []


def head_of(answer):
    return answer.status_code, {**answer.headers, **dict.fromkeys(EACH_TIME)}


def test_head_is_refused_where_nothing_is_read(cast, ids):
    caller = Caller(make_key(cast.customer).secret)
    read = {route.path for route in ROUTES if route.method == "get"}

    for route in ROUTES:
        if route.path not in read:
            answer = caller.head(path_of(route, ids))
            assert (answer.status_code, "HEAD" in answer.headers["Allow"]) == (405, False), route


def test_an_id_of_another_kind_or_none_leads_nowhere(cast, ids, counts):
    caller = Caller(make_key(cast.customer).secret)
    wrong = []
    for route in OF_THINGS:
        for spoiled in ("", "1", "mbx_1", "org_" + "g" * 32, "%00", "..%2f", "é" * 10):
            answer = send(caller, route, dict.fromkeys(ids, f"xyz_{spoiled}"))
            # What is no path in its one spelling is refused before anybody looks for a thing.
            is_path = is_plain(answer.request["PATH_INFO"])
            expected = (404, "not-found") if is_path else (400, "bad-request")
            if (answer.status_code, answer.json()["code"]) != expected:
                wrong.append((str(route), spoiled, answer.status_code, answer.json()["code"]))
            counts(calls=1)

    assert wrong == []


def test_a_method_that_is_not_there_says_so(cast, ids):
    caller = Caller(make_key(cast.customer).secret)
    wrong = []
    for route in ROUTES:
        there = {each.method for each in ROUTES if each.path == route.path}
        for method in {"get", "post", "patch", "delete"} - there:
            answer = getattr(caller, method)(path_of(route, ids))
            if (answer.status_code, answer.json()["code"]) != (405, "method-not-allowed"):
                wrong.append((str(route), method, answer.status_code))

    assert wrong == []


def test_what_removes_spends_or_releases_must_name_a_version_and_other_changes_may():
    found = {match: set() for match in Match}
    for route in ROUTES:
        found[route.match].add(route.promise.name)

    assert found[Match.REQUIRED] == MUST_NAME_A_VERSION | {
        route.promise.name for route in ROUTES if route.method == "delete"
    }
    assert found[Match.NEVER] == {
        route.promise.name for route in ROUTES if route.method == "get" or not route.ids
    }


def test_a_change_that_was_meant_for_another_version_is_refused(cast, ids, counts):
    seller, own = (Caller(make_key(each).secret) for each in (cast.reseller, cast.customer))
    wrong = []
    for route in [each for each in OF_THINGS if each.method != "get"]:
        caller = own if route.promise.name in OF_ASKERS else seller
        stale = send(caller, route, ids, if_match='"stale"')
        expected = (404, "not-found") if route.promise.name in OF_TESTS else (412, "stale-version")
        if (stale.status_code, stale.json()["code"]) != expected:
            wrong.append((str(route), stale.status_code))
        counts(calls=1)

    assert wrong == []


def test_a_change_that_names_nothing_changes_nothing(cast, ids):
    caller = Caller(make_key(cast.reseller).secret)
    wrong = []
    for route in [each for each in OF_THINGS if each.method == "patch"]:
        before = caller.get(path_of(route, ids)).json()
        answer = caller.patch(path_of(route, ids), {}, if_match="*")
        if answer.status_code != 200 or caller.get(path_of(route, ids)).json() != before:
            wrong.append((str(route), answer.status_code))

    assert wrong == []


def test_what_must_name_a_version_is_refused_without_one(cast, ids):
    caller = Caller(make_key(cast.reseller).secret)
    wrong = []
    for route in [each for each in OF_THINGS if each.match is Match.REQUIRED]:
        unnamed = send(caller, route, ids, if_match=None)
        fault = {"in": "header", "pointer": "/If-Match", "code": "precondition-required"}
        shown = unnamed.json()["errors"][0]
        if unnamed.status_code != 428 or {name: shown[name] for name in fault} != fault:
            wrong.append((str(route), unnamed.status_code))

    assert wrong == []


def test_where_nothing_has_a_version_none_can_be_named(cast, ids):
    caller = Caller(make_key(cast.reseller).secret)
    wrong = []
    for route in [each for each in ROUTES if each.match is Match.NEVER and each.method != "get"]:
        named = send(caller, route, ids, if_match='"one"')
        if (named.status_code, named.json()["errors"][0]["pointer"]) != (400, "/If-Match"):
            wrong.append((str(route), named.status_code))

    assert wrong == []


def test_an_unknown_parameter_is_never_ignored(cast, ids):
    caller = Caller(make_key(cast.customer).secret)
    wrong = []
    for route in ROUTES:
        for query in ("?colour=red", "?limit=x&limit=y", "?%00=1"):
            answer = getattr(caller, route.method)(path_of(route, ids) + query)
            if answer.status_code != 400:
                wrong.append((str(route), query, answer.status_code))

    assert wrong == []
