"""Lists that programs bring in: looked at, confirmed, worked off in the key's name."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from accounts import keyring
from accounts.access import system
from accounts.models import ApiKey, Event, Organisation
from accounts.rate_limits import Policy
from hosting import customer_lists, piecework, tasks
from hosting.api import imports, turns
from hosting.api.texts import LARGEST_BODY_BYTES, LARGEST_LIST_BYTES
from hosting.importing import runs
from hosting.models import CustomerImport, MailboxImport
from mailstore.models import Mailbox
from tests.factories import make_domain
from tests.hosting.api.caller import Caller, make_key

pytestmark = pytest.mark.django_db(databases=["default", "reports"])

STAFF = system("tests")


class Killed(BaseException):
    """What no worker survives."""


def csv_of(*addresses, plan="imap"):
    return "address,plan\n" + "".join(f"{address},{plan}\n" for address in addresses)


def numbered(count):
    return csv_of(*(f"box{number}@alder.test" for number in range(count)))


def brought(caller, text, kind="mailboxes", **more):
    answer = caller.post("/imports", {"kind": kind, "csv": text, **more})
    assert answer.status_code == 201, answer.content
    return answer


def confirmed(caller, text, kind="mailboxes", **more):
    answer = brought(caller, text, kind, **more)
    path = f"/imports/{answer.json()['id']}"
    begun = caller.post(f"{path}/confirm", if_match=answer.headers["ETag"])
    assert begun.status_code == 202, begun.content
    return path, begun.json()


def code_of(answer):
    return answer.status_code, answer.json()["code"]


def failed_events(kind="import.failed"):
    return list(Event.objects.filter(kind=kind).values_list("organisation__name", "actor_kind"))


# Bringing a list in -----------------------------------------------------------------------


def test_list_says_what_it_would_cost_to_keys_that_see_bills(cast, alice):
    text = csv_of("a@alder.test", "b@alder.test") + "c@alder.test,pop\nd@alder.test,gold\n"
    scopes = ("exports:read", "exports:write", "mailboxes:read", "mailboxes:write")
    other = Caller(make_key(cast.customer, *scopes).secret)

    told = brought(alice, text).json()

    [total] = told["totals"]
    assert (total["currency"], total["full_month_minor"]) == ("EUR", 2 * 250 + 100)
    assert 0 <= total["this_month_minor"] <= total["full_month_minor"]
    assert brought(other, text).json()["totals"] is None
    assert alice.get(f"/imports/{told['id']}").json()["totals"] == [total]
    assert other.get(f"/imports/{told['id']}").json()["totals"] is None


def test_list_of_customers_costs_nothing(rita):
    assert brought(rita, "name\nBirch\n", "customers").json()["totals"] == []


def test_list_is_judged_and_nothing_is_opened(cast, alice):
    text = csv_of("a@alder.test", "b@juniper.test", "a@alder.test", "c d@alder.test")
    answer = brought(alice, text, name="Autumn")

    told = answer.json()
    assert answer.headers["Location"].endswith(f"/imports/{told['id']}")
    assert (told["kind"], told["state"], told["name"]) == ("mailboxes", "checked", "Autumn")
    assert (told["row_count"], told["problem_count"], told["opened_count"]) == (4, 3, 0)
    found = [(each["line"], each["column"], each["code"]) for each in told["problems"]]
    assert found == [
        (3, "address", "not-found"),
        (4, "address", "already-exists"),
        (5, "address", "invalid"),
    ]
    assert not Mailbox.objects.exists()
    assert alice.get(f"/imports/{told['id']}").json() == told


def test_sellers_list_reaches_its_customers_and_nobody_else(cast, rita):
    told = brought(rita, csv_of("a@alder.test", "b@juniper.test")).json()

    assert [each["line"] for each in told["problems"]] == [3]


def test_list_for_one_customer_stays_within_it(cast, rita):
    brother = Organisation.objects.create(kind="customer", name="Ash", parent=cast.reseller)
    make_domain("ash.test", brother)
    ash = rita.get("/organisations?sort=-created&limit=1").json()["items"][0]["id"]

    told = brought(rita, csv_of("a@alder.test", "b@ash.test"), organisation_id=ash).json()

    assert [(each["line"], each["code"]) for each in told["problems"]] == [(2, "not-found")]
    assert told["organisation_id"] == ash


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("mail,plan\nx,imap\n", "There is no column"),
        (" \n", "The list is empty"),
        ('address,plan\n"a,imap\n', "cannot be read"),
        ("address,plan,app_password\na@alder.test,imap,Phone\n", "App passwords"),
    ],
)
def test_list_that_cannot_be_read_is_refused_at_its_text(cast, alice, text, message):
    answer = alice.post("/imports", {"kind": "mailboxes", "csv": text})

    assert code_of(answer) == (422, "validation-failed")
    [fault] = answer.json()["errors"]
    assert fault["pointer"] == "/csv"
    assert message in fault["message"]
    assert not MailboxImport.objects.exists()


def test_mark_at_the_beginning_of_a_text_is_passed_over(cast, alice):
    assert brought(alice, "\ufeff" + numbered(1)).json()["problem_count"] == 0


@pytest.mark.parametrize(
    ("kind", "has", "lacks"),
    [
        ("mailboxes", "organisations:write", "mailboxes:write"),
        ("customers", "mailboxes:write", "organisations:write"),
    ],
)
def test_list_takes_the_scope_of_what_it_opens(cast, kind, has, lacks):
    caller = Caller(make_key(cast.reseller, "exports:write", has).secret)

    answer = caller.post("/imports", {"kind": kind, "csv": "name\nHazel\n"})

    assert code_of(answer) == (403, "scope-missing")
    assert answer.json()["scope"] == lacks


@pytest.mark.parametrize("action", ["confirm", "cancel"])
def test_key_without_that_scope_begins_and_ends_nothing(cast, alice, action):
    path = f"/imports/{brought(alice, numbered(1)).json()['id']}"
    narrow = Caller(make_key(cast.customer, "exports:write", "exports:read").secret)

    answer = narrow.post(f"{path}/{action}", if_match="*")

    assert code_of(answer) == (403, "scope-missing")
    assert MailboxImport.objects.get().state == "checked"


def test_what_is_told_of_lines_takes_the_scope_to_read_them(cast, alice):
    path = f"/imports/{brought(alice, numbered(1)).json()['id']}"
    narrow = Caller(make_key(cast.customer, "exports:read").secret)

    assert code_of(narrow.get(path)) == (403, "scope-missing")
    [listed] = narrow.get("/imports").json()["items"]
    assert "problems" not in listed


def test_customers_have_no_customers(cast, alice):
    answer = alice.post("/imports", {"kind": "customers", "csv": "name\nHazel\n"})

    assert code_of(answer) == (422, "validation-failed")


def test_list_may_be_larger_than_other_bodies_and_has_an_end(cast, alice):
    long = csv_of(*("x" * 60 + f"{number}@elsewhere.test" for number in range(15_000)))

    assert len(long) > LARGEST_BODY_BYTES
    told = brought(alice, long).json()
    assert (told["row_count"], told["problem_count"]) == (15_000, 15_000)
    assert len(told["problems"]) == imports.MOST_PROBLEMS
    answer = alice.post("/imports", {"kind": "mailboxes", "csv": "x" * LARGEST_LIST_BYTES})
    assert code_of(answer) == (413, "body-too-large")


def test_same_request_again_brings_no_second_list(cast, alice):
    body = {"kind": "mailboxes", "csv": numbered(1)}
    first, second = (alice.post("/imports", body, idempotency_key="list-1") for _ in range(2))

    assert first.json() == second.json()
    assert MailboxImport.objects.count() == 1


# The lists that there are -----------------------------------------------------------------


def test_lists_of_both_kinds_are_one_list_page_by_page(cast, rita):
    made = [
        brought(rita, text, kind).json()["id"]
        for text, kind in (
            (numbered(1), "mailboxes"),
            ("name\nHazel\n", "customers"),
            (numbered(2), "mailboxes"),
        )
    ]

    first = rita.get("/imports?limit=2&include=total_count").json()
    second = rita.get(f"/imports?limit=2&cursor={first['next_cursor']}").json()

    assert [each["id"] for each in first["items"] + second["items"]] == made
    assert (first["total_count"], second["next_cursor"]) == (3, None)
    backwards = rita.get("/imports?sort=-created&limit=2").json()
    rest = rita.get(f"/imports?sort=-created&limit=2&cursor={backwards['next_cursor']}").json()
    assert [each["id"] for each in backwards["items"] + rest["items"]] == made[::-1]
    [customers] = rita.get("/imports?kind=customers").json()["items"]
    assert customers["id"] == made[1]
    assert rita.get("/imports?state=running").json()["items"] == []


def test_what_people_brought_in_is_listed_and_what_staff_did_for_all_is_not(cast, rita):
    by = {"actor": STAFF, "at": timezone.now()}
    customer_lists.take_in(
        by=cast.rita, seller=cast.reseller, file_name="x", text="name\nA\n", **by
    )
    runs.take_in(by=cast.sam, file_name="y", text=numbered(1), **by)
    house = Caller(make_key(cast.provider).secret)

    for caller in (rita, house):
        [listed] = caller.get("/imports").json()["items"]
        assert (listed["name"], listed["created_by_key_id"]) == ("x", None)


def test_keys_for_testing_and_for_real_work_do_not_see_each_others_lists(cast, rita):
    trial = Caller(make_key(cast.reseller, is_test=True).secret)
    told = brought(trial, "name\nHazel\n", "customers").json()

    assert rita.get("/imports").json()["items"] == []
    assert code_of(rita.get(f"/imports/{told['id']}")) == (404, "not-found")
    assert [each["id"] for each in trial.get("/imports").json()["items"]] == [told["id"]]


# Working it off ---------------------------------------------------------------------------


def test_confirmed_list_is_an_operation_and_its_end_is_told_to_its_owner(cast, alice):
    text = csv_of("a@alder.test", "b@juniper.test", "c@alder.test")
    path, begun = confirmed(alice, text)

    assert (begun["kind"], begun["state"], begun["unit"]) == ("open_mailboxes", "running", "lines")
    assert (begun["done_count"], begun["total_count"], begun["problems"]) == (0, 3, [])
    assert tasks.resume_imports() == 1

    done = alice.get(f"/operations/{begun['id']}").json()
    assert (done["state"], done["done_count"], len(done["problems"])) == ("done", 3, 1)
    assert done["result_path"] == f"/api/v1{path}"
    told = alice.get(path).json()
    assert (told["state"], told["opened_count"], told["problem_count"]) == ("finished", 2, 1)
    assert told["finished_at"] is not None
    [event] = alice.get("/events?types=import.completed").json()["items"]
    assert event["data"]["id"] == told["id"]
    assert failed_events("import.completed") == [("Alder", "api_key")]
    [finished] = alice.get("/events?types=operation.finished").json()["items"]
    assert finished["data"]["id"] == begun["id"] == told["operation_id"]
    assert (finished["data"]["kind"], finished["data"]["state"]) == ("open_mailboxes", "done")
    [listed] = alice.get("/operations?kind=open_mailboxes").json()["items"]
    assert listed == done
    assert set(Event.objects.filter(kind="mailbox.created").values_list("actor_kind")) == {
        ("api_key",)
    }


def test_list_that_nobody_confirmed_is_no_operation(cast, alice):
    told = brought(alice, numbered(1)).json()

    assert code_of(alice.get(f"/operations/opn_{told['id'][4:]}")) == (404, "not-found")
    assert tasks.resume_imports() == 0


def test_only_the_key_that_brought_a_list_in_begins_it(cast, alice):
    answer = brought(alice, numbered(1))
    other = Caller(make_key(cast.customer).secret)
    path = f"/imports/{answer.json()['id']}/confirm"

    assert code_of(other.post(path, if_match="*")) == (409, "wrong-state")
    assert alice.post(path, if_match=answer.headers["ETag"]).status_code == 202
    assert code_of(alice.post(path, if_match="*")) == (409, "wrong-state")


def test_key_that_replaced_another_goes_on_with_its_lists(cast):
    made = make_key(cast.customer)
    old = Caller(made.secret)
    answer = brought(old, numbered(1))
    new = keyring.rotate(actor=STAFF, api_key=made.api_key, overlap=timedelta(0), at=timezone.now())
    path = f"/imports/{answer.json()['id']}/confirm"

    assert Caller(new.secret).post(path, if_match="*").status_code == 202
    assert tasks.resume_imports() == 1
    assert Mailbox.objects.count() == 1


def test_key_revoked_midway_stops_the_list(cast, monkeypatch):
    monkeypatch.setattr(piecework, "BATCH", 2)
    made = make_key(cast.customer)
    path, _begun = confirmed(Caller(made.secret), numbered(5))
    listed = MailboxImport.objects.get()
    looks = []

    def now():
        looks.append(1)
        if len(looks) == 3:
            keyring.revoke(actor=STAFF, api_key=made.api_key, at=timezone.now())
        return timezone.now()

    assert runs.run(import_id=listed.pk, now=now)

    listed.refresh_from_db()
    assert (listed.state, listed.done_count, listed.opened_count) == ("cancelled", 2, 2)
    assert Mailbox.objects.count() == 2
    assert failed_events() == [("Alder", "system")]
    told = Caller(make_key(cast.customer).secret).get(path).json()
    assert (told["state"], told["opened_count"]) == ("cancelled", 2)


@pytest.mark.parametrize("end", ["revoked", "expired", "closed"])
def test_list_of_a_key_that_works_no_more_is_not_begun(cast, alice, end):
    confirmed(alice, numbered(2))
    if end == "closed":
        Organisation.objects.filter(pk=cast.customer.pk).update(state="closed")
    else:
        field = {"revoked": "revoked_at", "expired": "expires_at"}[end]
        ApiKey.objects.update(**{field: timezone.now() - timedelta(minutes=1)})

    tasks.resume_imports()

    assert MailboxImport.objects.get().state == "cancelled"
    assert not Mailbox.objects.exists()


def test_worker_killed_between_lines_is_followed_by_another(cast, alice, monkeypatch):
    monkeypatch.setattr(piecework, "BATCH", 2)
    confirmed(alice, numbered(5))
    listed = MailboxImport.objects.get()

    def kill(execute, sql, params, many, context):
        if "accounts_event" in sql and Mailbox.objects.count() > 2:
            raise Killed
        return execute(sql, params, many, context)

    with connection.execute_wrapper(kill), pytest.raises(Killed):
        runs.run(import_id=listed.pk, now=timezone.now)
    assert runs.resume(now=timezone.now) == 0
    assert runs.resume(now=lambda: timezone.now() + timedelta(minutes=3)) == 1

    listed.refresh_from_db()
    assert (listed.state, listed.done_count, listed.opened_count) == ("finished", 5, 5)
    assert Event.objects.filter(kind="mailbox.created").count() == 5
    assert not runs.run(import_id=listed.pk, now=timezone.now)


def test_list_is_cancelled_under_way_and_that_is_told(cast, alice):
    path, begun = confirmed(alice, numbered(2))

    told = alice.post(f"{path}/cancel").json()

    assert told["state"] == "cancelled"
    assert alice.get(f"/operations/{begun['id']}").json()["state"] == "cancelled"
    assert failed_events() == [("Alder", "api_key")]
    assert code_of(alice.post(f"{path}/cancel")) == (409, "wrong-state")
    assert tasks.resume_imports() == 0


def test_list_that_was_only_looked_at_is_left_without_a_word(cast, alice):
    path = f"/imports/{brought(alice, numbered(2)).json()['id']}"

    assert alice.post(f"{path}/cancel").json()["state"] == "cancelled"
    assert failed_events() == []


def test_customers_are_opened_below_the_keys_organisation(cast, rita):
    text = "name,external_ref,mailboxes\nHazel,H-1,5\nAlder,,\nYew,H-1,\nElm,,x\n"
    path, _begun = confirmed(rita, text, "customers")

    assert tasks.resume_customer_imports() == 1

    told = rita.get(path).json()
    assert (told["state"], told["opened_count"]) == ("finished", 1)
    assert [(each["line"], each["code"]) for each in told["problems"]] == [
        (3, "already-exists"),
        (4, "already-exists"),
        (5, "invalid"),
    ]
    assert failed_events("import.completed") == [("Rowan", "api_key")]
    [listed] = rita.get("/operations?kind=open_customers&state=done").json()["items"]
    assert listed["result_path"] == f"/api/v1{path}"
    hazel = Organisation.objects.get(name="Hazel")
    assert (hazel.parent, hazel.limits.mailboxes, hazel.is_test) == (cast.reseller, 5, False)


def test_key_for_testing_opens_customers_for_testing(cast):
    trial = Caller(make_key(cast.reseller, is_test=True).secret)
    # A live customer of this name is no affair of it.
    confirmed(trial, "name\nAlder\nAlder\n", "customers")

    tasks.resume_customer_imports()

    [made] = Organisation.objects.filter(is_test=True)
    assert (made.name, made.parent) == ("Alder", cast.reseller)
    assert [each["line"] for each in CustomerImport.objects.get().problems] == [3]


# Forgetting -------------------------------------------------------------------------------


def kept_texts():
    return [each.content != "" for each in MailboxImport.objects.order_by("pk")]


def test_text_of_a_list_is_forgotten_at_its_end_and_its_result_stays(cast, alice):
    path, _begun = confirmed(alice, csv_of("a@alder.test", "b@juniper.test"))
    left, _begun = confirmed(alice, numbered(3))
    assert kept_texts() == [True, True]

    alice.post(f"{left}/cancel")
    tasks.resume_imports()

    assert kept_texts() == [False, False]
    told = alice.get(path).json()
    assert (told["state"], len(told["problems"])) == ("finished", 1)


def test_list_that_nobody_starts_for_a_month_is_left(cast, alice):
    waiting = brought(alice, numbered(1)).json()["id"]
    confirmed(alice, numbered(3))
    assert tasks.forget_lists() == 0
    MailboxImport.objects.update(created_at=timezone.now() - timedelta(days=31))

    assert tasks.forget_lists() == 1
    assert tasks.forget_lists() == 0

    assert alice.get(f"/imports/{waiting}").json()["state"] == "cancelled"
    assert kept_texts() == [False, True]
    assert tasks.resume_imports() == 1


def test_so_many_lists_wait_and_no_more(cast, alice, rita, monkeypatch):
    monkeypatch.setattr(piecework, "MOST_STANDING", 2)
    path = f"/imports/{brought(alice, numbered(1)).json()['id']}"
    brought(alice, numbered(1))

    answer = alice.post("/imports", {"kind": "mailboxes", "csv": numbered(1)})

    assert code_of(answer) == (409, "limit-reached")
    brought(rita, numbered(1))
    alice.post(f"{path}/cancel")
    brought(alice, numbered(1))


def test_lists_are_counted_by_the_hour_for_all_keys_of_an_organisation(cast, alice, monkeypatch):
    monkeypatch.setattr(turns, "LISTS", Policy(name="few", limit=2, window_seconds=3600))
    other = Caller(make_key(cast.customer).secret)
    for caller in (alice, other):
        brought(caller, numbered(1))

    answer = alice.post("/imports", {"kind": "mailboxes", "csv": numbered(1)})

    assert code_of(answer) == (429, "rate-limited")
    assert int(answer.headers["Retry-After"]) > 0
    assert MailboxImport.objects.count() == 2
