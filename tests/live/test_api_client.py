"""The API as a client meets it: over a connection that is kept, through the real web server."""

from __future__ import annotations

import json

import httpx
import pytest

from hosting import public_ids
from mailstore.models import Mailbox
from tests.factories import make_cast
from tests.hosting.api.caller import make_key

pytestmark = pytest.mark.django_db(transaction=True, databases="__all__")

PROBLEM = "application/problem+json"
# Of what no two answers have in common.
EACH_TIME = {"date", "request-id", "ratelimit"}


@pytest.fixture
def cast():
    return make_cast()


@pytest.fixture
def client(cast, panel):
    headers = {"Authorization": f"Bearer {make_key(cast.reseller).secret}"}
    with httpx.Client(base_url=panel.api, headers=headers, trust_env=False, timeout=60) as opened:
        yield opened


def head_of(answer):
    return {name: text for name, text in answer.headers.items() if name not in EACH_TIME}


@pytest.mark.parametrize(
    "path", ["/plans", "/mailboxes?limit=1", "/events", "/nothing", "/plans?x=1"]
)
def test_head_has_the_headers_of_get_and_nothing_behind_them(client, path):
    whole, head, again = client.get(path), client.head(path), client.get(path)

    assert (head.status_code, head_of(head)) == (whole.status_code, head_of(whole))
    assert (head.content, again.status_code) == (b"", whole.status_code)
    assert whole.content


def batch(*items):
    return f'{{"items": [{", ".join(items)}]}}'


def test_batches_that_nobody_means_do_nothing(cast, client, counts):
    body = {
        "domain_id": public_ids.encode("dom", cast.domain.uuid),
        "local_part": "info",
        "plan": "imap",
    }
    order = {"key": "1", "operation": "create_mailbox", "body": body}
    good, deep = json.dumps(order), "[" * 100 + "]" * 100
    too_large = json.dumps({**order, "body": {**body, "quota_bytes": 2**63}})
    batches = {
        batch(good, good): "/items/1/key",
        batch(): "/items",
        batch(*[good] * 501): "/items",
        batch(good, "7"): "/items/1",
        batch(good, deep): "",
        batch(good.replace("info", r"in\u0000fo")): "/items/0/body/local_part",
        batch(good.replace("info", "in\0fo")): "",
        batch(too_large): "/items/0/body/quota_bytes",
    }

    for sent, pointer in batches.items():
        answer = client.post("/batch", content=sent, headers={"Content-Type": "application/json"})
        assert answer.status_code in {400, 422}, answer.text
        assert answer.headers["Content-Type"] == PROBLEM
        assert pointer in [each["pointer"] for each in answer.json()["errors"]]
        counts(batches=1)
    assert not Mailbox.objects.exists()
