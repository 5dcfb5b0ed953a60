"""Whom an answer that was kept is given to."""

from __future__ import annotations

import pytest
from django.db import connection

from accounts.models import ApiKey
from hosting import public_ids
from mailstore.models import Mailbox
from tests.factories import make_mailbox
from tests.hosting.api.caller import Caller, make_key

pytestmark = pytest.mark.django_db(databases=["default", "reports"])


def order(cast):
    return {
        "domain_id": public_ids.encode("dom", cast.domain.uuid),
        "local_part": "info",
        "plan": "pop",
        "app_password": {"label": "Phone"},
    }


def batch(cast):
    return {"items": [{"key": "1", "operation": "create_mailbox", "body": order(cast)}]}


@pytest.mark.parametrize(("path", "body"), [("/mailboxes", order), ("/batch", batch)])
def test_the_successor_of_a_key_is_answered_as_it_was(path, body, cast, rita):
    first = rita.post(path, body(cast), idempotency_key="once")
    key_id = public_ids.encode("key", ApiKey.objects.get().uuid)
    successor = Caller(rita.post(f"/api-keys/{key_id}/rotate").json()["secret"])

    again = successor.post(path, body(cast), idempotency_key="once")

    assert (again.status_code, again.content) == (first.status_code, first.content)
    assert again.headers["Idempotency-Replayed"] == "true"


@pytest.mark.parametrize(("path", "body"), [("/mailboxes", order), ("/batch", batch)])
def test_a_key_that_may_do_less_is_not_shown_the_secret(path, body, cast, rita):
    rita.post(path, body(cast), idempotency_key="order-1")
    cast.other_customer.parent = cast.reseller
    cast.other_customer.save()
    narrow = Caller(make_key(cast.reseller, only_for=(cast.other_customer,)).secret)
    poor = Caller(make_key(cast.reseller, "mailboxes:write").secret)

    answers = [each.post(path, body(cast), idempotency_key="order-1") for each in (narrow, poor)]

    assert [each.json()["code"] for each in answers] == ["idempotency-mismatch"] * 2
    assert Mailbox.objects.count() == 1


def unseen_at_first():
    """Lets the first look for a kept answer find none."""
    looked = []

    def hide(execute, sql, params, *more):
        if sql.startswith('SELECT "hosting_keptanswer"') and not looked:
            looked.append(sql)
            params = tuple(0 if isinstance(each, int) else each for each in params)
        return execute(sql, params, *more)

    return connection.execute_wrapper(hide)


@pytest.mark.parametrize("is_done", [True, False])
def test_an_answer_that_is_kept_meanwhile_is_the_one_that_counts(is_done, cast, rita):
    """A refusal is kept after its lock is gone, so the same request may be at work meanwhile."""
    standing = make_mailbox(cast.domain, "info")
    kept = rita.post("/mailboxes", order(cast), idempotency_key="once")
    if is_done:
        # The second one would succeed by now.
        Mailbox.objects.filter(pk=standing.pk).update(address="x@alder.test", local_part="x")

    with unseen_at_first():
        late = rita.post("/mailboxes", order(cast), idempotency_key="once")

    assert (kept.status_code, kept.json()["code"]) == (409, "address-taken")
    assert (late.status_code, late.content) == (409, kept.content)
    assert late.headers["Idempotency-Replayed"] == "true"
    assert Mailbox.objects.count() == 1


def test_another_request_that_was_kept_meanwhile_is_no_answer(cast, rita):
    rita.post("/mailboxes", {**order(cast), "plan": "gold"}, idempotency_key="once")

    with unseen_at_first():
        late = rita.post("/mailboxes", order(cast), idempotency_key="once")

    assert (late.status_code, late.json()["code"]) == (422, "idempotency-mismatch")
    assert not Mailbox.objects.exists()


def test_an_answer_opens_while_the_key_before_stands_behind_the_new_one(cast, rita, settings):
    first = rita.post("/mailboxes", order(cast), idempotency_key="once")
    settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
    settings.SECRET_KEY = "another-key-of-the-house"

    again = rita.post("/mailboxes", order(cast), idempotency_key="once")

    assert (again.status_code, again.content) == (201, first.content)
    assert again.headers["Idempotency-Replayed"] == "true"


def test_an_answer_that_nobody_can_open_any_more_is_no_failure_to_try_again(cast, rita, settings):
    rita.post("/mailboxes", order(cast), idempotency_key="once")
    settings.SECRET_KEY = "another-key-of-the-house"

    again = rita.post("/mailboxes", order(cast), idempotency_key="once")

    assert (again.status_code, again.json()["code"]) == (422, "idempotency-mismatch")
    assert Mailbox.objects.count() == 1
