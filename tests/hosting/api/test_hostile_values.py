"""Every operation with values that nobody means, in each parameter and each field."""

from __future__ import annotations

import pytest
from django.db import transaction

from hosting.api.contract import Match
from tests.hosting.api import test_matrix
from tests.hosting.api.caller import Caller, make_key
from tests.hosting.api.test_matrix import BODIES, ROUTES, path_of

pytestmark = pytest.mark.django_db(databases="__all__")

ids = test_matrix.ids
_laptop = test_matrix._laptop

TEXTS = [
    "",
    "%00",
    "%ED%A0%80",
    "%D9%A3",
    "9" * 400,
    "x" * 401,
    "a,b,,",
    "0001-01-01T00:00:00%2B23:59",
    "9999-12-31T23:59:59-23:59",
]
VALUES = [
    None,
    "",
    "\0",
    "\u202e\x1b[31m\r\n",
    "x" * 5_000,
    -1,
    2**63,
    10**400,
    1.5,
    True,
    [],
    [None, "\0", 1],
    {},
    {"a": {"b": ["\0"]}},
    "0001-01-01T00:00:00+23:59",
]


def wholes(ids):
    """Bodies that would be taken, so that one value of each is looked at by the verbs as well."""
    return {
        **BODIES,
        "create_mailbox": {"domain_id": ids["dom"], "local_part": "info", "plan": "pop"},
        "create_organisation": {"name": "Alders"},
        "create_api_key": {"label": "Till", "scopes": ["mailboxes:read"]},
        "create_webhook_endpoint": {"url": "http://127.0.0.1:9/"},
        "create_import": {"kind": "mailboxes", "csv": "address,plan\na@alder.test,pop\n"},
        "create_export": {"kind": "activity", "since": "2026-11-01", "until": "2026-11-02"},
        "run_batch": {
            "items": [{"key": "1", "operation": "suspend_mailbox", "mailbox_id": ids["mbx"]}]
        },
    }


def refused(answer):
    """Whether it is no answer that a program should ever be given."""
    return answer.status_code >= 500 or (
        answer.status_code >= 400 and answer.headers["Content-Type"] != "application/problem+json"
    )


def tried(send):
    with transaction.atomic():
        answer = send()
        transaction.set_rollback(True)
    return answer


def test_no_parameter_fails_in_our_own_hands(cast, ids, counts):
    caller, wrong, count = Caller(make_key(cast.reseller).secret), [], 0
    caller.client.raise_request_exception = False
    for route in ROUTES:
        lists = route.promise.lists
        for name in {*route.promise.parameters, *(lists.parameters() if lists else ())}:
            for text in TEXTS:
                path = f"{path_of(route, ids)}?{name}={text}"
                answer = tried(lambda path=path, route=route: getattr(caller, route.method)(path))
                count += 1
                if refused(answer):
                    wrong.append((str(route), name, text, answer.status_code))

    assert wrong == []
    counts(calls=count)


@pytest.mark.parametrize("headers", [{}, {"idempotency_key": "once"}])
def test_no_value_fails_in_our_own_hands(headers, cast, ids, counts):
    caller, wrong, count = Caller(make_key(cast.reseller).secret), [], 0
    caller.client.raise_request_exception = False
    bodies = wholes(ids)
    for route in ROUTES:
        if route.promise.takes is None or route.method == "get":
            continue
        if headers and route.method != "post":
            continue
        named = headers if route.match is Match.NEVER else {**headers, "if_match": "*"}
        for name in route.promise.takes().fields:
            for value in VALUES:
                body = {**bodies.get(route.promise.name, {}), name: value}
                send = getattr(caller, route.method)
                answer = tried(
                    lambda send=send, route=route, body=body, named=named: send(
                        path_of(route, ids), body, **named
                    )
                )
                count += 1
                if refused(answer):
                    wrong.append((str(route), name, str(value)[:40], answer.status_code))

    assert wrong == []
    counts(calls=count)
