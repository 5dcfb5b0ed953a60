"""Many things in one call."""

from __future__ import annotations

import pytest
from django.db import OperationalError, connection

from accounts.models import Event
from hosting import public_ids
from hosting.models import Contract, Limits
from mailstore import credentials
from mailstore.models import AppPassword, Mailbox
from tests.factories import make_mailbox
from tests.hosting.api.caller import Caller, make_key
from tests.hosting.simulated import MADE, make_test_customer, make_test_mailbox

pytestmark = pytest.mark.django_db(databases=["default", "reports"])


def create(cast, number, **changes):
    body = {
        "domain_id": public_ids.encode("dom", cast.domain.uuid),
        "local_part": f"m{number}",
        "plan": "pop",
        **changes,
    }
    return {"key": f"k{number}", "operation": "create_mailbox", "body": body}


def change(mailbox, operation, **body):
    named = {"key": f"{operation}-{mailbox.pk}", "operation": operation}
    return {**named, "mailbox_id": public_ids.encode("mbx", mailbox.uuid), "body": body}


def faults_of(answer):
    return [(each["pointer"], each["code"]) for each in answer.json()["errors"]]


def test_five_hundred_mailboxes_are_opened_in_one_call(cast, rita):
    items = [
        create(cast, n, external_ref=f"r{n}", app_password={"label": "Phone"}) for n in range(500)
    ]

    answer = rita.post("/batch", {"items": items}, idempotency_key="all")
    again = rita.post("/batch", {"items": items}, idempotency_key="all")

    done = answer.json()["items"]
    assert (answer.status_code, again.content) == (200, answer.content)
    assert [(each["key"], each["status"]) for each in done] == [(f"k{n}", 201) for n in range(500)]
    assert Mailbox.objects.count() == Contract.objects.count() == 500
    password = AppPassword.objects.get(mailbox__address="m7@alder.test")
    assert credentials.digest(done[7]["app_password"]["secret"]) == password.digest
    assert (done[7]["document"]["external_ref"], done[7]["document"]["plan"]) == ("r7", "pop")
    assert Event.objects.filter(kind="mailbox.created").count() == 500


def test_one_item_that_cannot_be_done_keeps_all_undone(cast, rita):
    make_mailbox(cast.domain, "m1")

    answer = rita.post(
        "/batch",
        {
            "items": [
                create(cast, 0),
                create(cast, 1),
                create(cast, 2, plan="gold"),
                create(cast, 3, colour="red"),
                create(cast, 4, local_part="m0"),
                {**create(cast, 5), "key": "k0"},
                {"key": "k6", "operation": "fly"},
                create(cast, 7, quota_bytes=10**15),
                create(cast, 8, local_part="a b"),
            ]
        },
    )

    assert answer.status_code == 422
    assert sorted(faults_of(answer)) == [
        ("/items/0/body/local_part", "address-taken"),
        ("/items/1/body/local_part", "address-taken"),
        ("/items/2/body/plan", "invalid"),
        ("/items/3/body/colour", "unknown"),
        ("/items/4/body/local_part", "address-taken"),
        ("/items/5/key", "duplicate"),
        ("/items/6/operation", "invalid_choice"),
        ("/items/7/body/quota_bytes", "quota-over-plan"),
        ("/items/8/body/local_part", "characters"),
    ]
    assert Mailbox.objects.count() == 1


def test_an_order_without_any_room_is_named(cast, rita):
    answer = rita.post("/batch", {"items": [create(cast, 0), create(cast, 1, quota_bytes=0)]})

    assert (answer.status_code, faults_of(answer)) == (
        422,
        [("/items/1/body/quota_bytes", "invalid")],
    )
    assert not Mailbox.objects.exists()


def test_a_dry_run_answers_what_would_be_and_leaves_nothing(
    cast, rita, django_capture_on_commit_callbacks
):
    standing = make_mailbox(cast.domain, "a")
    items = [
        create(cast, 0, app_password={"label": "Phone"}),
        change(standing, "update_mailbox", label="Front"),
        change(standing, "suspend_mailbox"),
    ]
    before = [model.objects.count() for model in (Mailbox, Contract, AppPassword, Event)]

    with django_capture_on_commit_callbacks() as after:
        tried = rita.post("/batch?dry_run=true", {"items": items})

    assert (tried.status_code, tried.json()["is_dry_run"], after) == (200, True, [])
    nothing = {"document": None, "app_password": None}
    shown = tried.json()["items"]
    assert [each.pop("cost") is None for each in shown] == [False, True, True]
    assert shown == [
        {"key": item["key"], "status": status, **nothing}
        for item, status in zip(items, (201, 200, 200), strict=True)
    ]
    standing.refresh_from_db()
    assert (standing.label, standing.state) == ("", "active")
    assert [model.objects.count() for model in (Mailbox, Contract, AppPassword, Event)] == before


def refused_orders(cast):
    Limits.objects.create(organisation=cast.customer, mailboxes=1)
    return [create(cast, 0), create(cast, 1)], [("/items/1/body", "limit-reached")]


def refused_spending(cast):
    Limits.objects.create(organisation=cast.customer, spend_cap_minor=0)
    return [create(cast, 0)], [("/items/0/body", "limit-reached")]


def refused_update(cast):
    first, second = make_mailbox(cast.domain, "a"), make_mailbox(cast.domain, "b")
    Mailbox.objects.filter(pk=second.pk).update(external_ref="r1")
    labels = {f"n{number}": "x" for number in range(15)}
    Mailbox.objects.filter(pk=first.pk).update(labels=labels)
    return [
        change(first, "update_mailbox", quota_bytes=10**15),
        {**change(first, "update_mailbox", external_ref="r1"), "key": "ref"},
        {**change(first, "update_mailbox", labels=dict.fromkeys("abcdef", "x")), "key": "labels"},
    ], [
        ("/items/0/body/quota_bytes", "quota-over-plan"),
        ("/items/1/body/external_ref", "already-exists"),
        ("/items/2/body/labels", "invalid"),
    ]


def refused_suspension(cast):
    mailbox = make_mailbox(cast.domain)
    twice = {**change(mailbox, "suspend_mailbox"), "key": "twice"}
    faults = [("/items/1/body", "wrong-state")]
    return [change(mailbox, "suspend_mailbox"), twice], faults


def refused_resumption(cast):
    faults = [("/items/0/body", "wrong-state")]
    return [change(make_mailbox(cast.domain), "resume_mailbox")], faults


@pytest.mark.parametrize(
    "refused",
    [refused_orders, refused_spending, refused_update, refused_suspension, refused_resumption],
)
def test_a_dry_run_finds_what_the_real_one_finds(refused, cast, rita):
    items, faults = refused(cast)

    dry, wet = (
        rita.post("/batch?dry_run=true", {"items": items}),
        rita.post("/batch", {"items": items}),
    )

    assert (dry.status_code, wet.status_code) == (422, 422)
    assert (faults_of(dry), dry.json()["errors"]) == (faults, wet.json()["errors"])


def test_an_address_that_is_taken_meanwhile_is_a_fault_of_its_item(cast, rita):
    """Somebody is faster, after the addresses were looked up and before they are written."""
    looked_up = []

    def take(execute, sql, *more):
        result = execute(sql, *more)
        # The last look before the mailboxes are written is for the references.
        if sql.startswith('SELECT "mailstore_mailbox"."organisation_id"') and not looked_up:
            looked_up.append(sql)
            make_mailbox(cast.domain, "m1")
        return result

    items = [create(cast, number, external_ref=f"r{number}") for number in range(2)]
    with connection.execute_wrapper(take):
        answer = rita.post("/batch", {"items": items})

    assert looked_up
    assert faults_of(answer) == [("/items/1/body/local_part", "address-taken")]


def test_orders_for_a_test_organisation_begin_at_its_clocks_moment(cast):
    trial = make_test_customer(cast.reseller)
    domain = make_test_mailbox(trial).domain
    caller = Caller(make_key(cast.reseller, is_test=True).secret)
    order = create(cast, 0, app_password={"label": "Phone"})
    order["body"]["domain_id"] = public_ids.encode("dom", domain.uuid)

    answer = caller.post("/batch", {"items": [order]})

    (done,) = answer.json()["items"]
    moments = {done[name]["created_at"] for name in ("document", "app_password")}
    assert moments == {MADE.isoformat().replace("+00:00", "Z")}
    made = Mailbox.objects.get(local_part="m0")
    kinds = ("mailbox.created", "app_password.created")
    told = Event.objects.filter(kind__in=kinds, at=MADE)
    assert told.filter(kind="app_password.created").count() == 1
    assert told.filter(subject_id=str(made.uuid)).exists()
    assert Contract.objects.get(mailbox=made).starts_at == MADE


@pytest.mark.parametrize("text", ["yes", "1", "True", "", "false "])
def test_a_dry_run_that_is_asked_for_in_other_words_does_nothing_either(text, cast, rita):
    answer = rita.post(f"/batch?dry_run={text}", {"items": [create(cast, 0)]})

    assert (answer.status_code, answer.json()["code"]) == (400, "invalid-parameter")
    assert not Mailbox.objects.exists()


def test_the_limit_holds_for_all_items_together(cast, rita):
    Limits.objects.create(organisation=cast.customer, mailboxes=2)

    answer = rita.post("/batch", {"items": [create(cast, n) for n in range(3)]})

    assert faults_of(answer) == [("/items/2/body", "limit-reached")]
    (fault,) = answer.json()["errors"]
    figures = [fault[name] for name in ("limit_of", "limit", "current", "requested")]
    assert figures == ["mailbox_count", 2, 2, 1]
    assert not Mailbox.objects.exists()


def test_mailboxes_are_changed_suspended_and_resumed(cast, rita):
    first, second = make_mailbox(cast.domain, "a"), make_mailbox(cast.domain, "b")

    answer = rita.post(
        "/batch",
        {
            "items": [
                change(first, "update_mailbox", label="Front"),
                change(second, "suspend_mailbox"),
            ]
        },
    )

    shown = [(each["status"], each["document"]["state"]) for each in answer.json()["items"]]
    assert shown == [(200, "active"), (200, "suspended")]
    assert Mailbox.objects.get(pk=first.pk).label == "Front"


def test_a_refusal_while_it_is_done_undoes_all(cast, rita):
    first, second = make_mailbox(cast.domain, "a"), make_mailbox(cast.domain, "b")

    answer = rita.post(
        "/batch",
        {"items": [change(first, "suspend_mailbox"), change(second, "resume_mailbox")]},
    )

    assert faults_of(answer) == [("/items/1/body", "wrong-state")]
    assert set(Mailbox.objects.values_list("state", flat=True)) == {"active"}


def test_a_database_that_is_away_is_no_fault_of_an_item(cast, rita):
    body = {"items": [change(make_mailbox(cast.domain), "suspend_mailbox")]}

    with connection.execute_wrapper(refuse_updates):
        away = rita.post("/batch", body, idempotency_key="once")
    again = rita.post("/batch", body, idempotency_key="once")

    assert (away.status_code, away.headers["Retry-After"]) == (503, "5")
    assert (again.status_code, "Idempotency-Replayed" in again.headers) == (200, False)


def refuse_updates(execute, sql, *more):
    if sql.startswith('UPDATE "mailstore_mailbox"'):
        raise OperationalError
    return execute(sql, *more)


def test_a_strangers_mailbox_is_as_absent(cast, rita):
    foreign = make_mailbox(cast.other_domain)

    answer = rita.post("/batch", {"items": [change(foreign, "suspend_mailbox")]})

    assert faults_of(answer) == [("/items/0/mailbox_id", "not-found")]


def test_app_passwords_need_their_own_scope(cast):
    caller = Caller(make_key(cast.reseller, "mailboxes:write").secret)

    answer = caller.post("/batch", {"items": [create(cast, 0, app_password={"label": "Phone"})]})

    assert (answer.status_code, answer.json()["scope"]) == (403, "passwords:write")
