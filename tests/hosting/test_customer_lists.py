"""Customers as CSV: written out without formulas, and brought in, each line once."""

from __future__ import annotations

import csv
import io
from datetime import timedelta

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.utils import timezone

from accounts.access import Forbidden
from accounts.models import Membership, Organisation, User
from hosting import (
    customer_lists,
    feed,
    figures,
    opening,
    piecework,
    public_ids,
    searching,
)
from hosting.models import CustomerImport, Limits, SellerFigures
from hosting.piecework import UnreadableList
from hosting.searching import Wanted
from hosting.tasks import resume_customer_imports, run_customer_import
from tests.factories import AT, make_member
from tests.hosting.billing_rows import make_list, sold
from tests.hosting.crowd import make_sibling
from tests.staffing import signed_in

pytestmark = pytest.mark.django_db(databases="__all__")

HEADER = "name,external_ref,owner_email,domain,mailboxes,domains,stored_bytes"


def text_of(*lines, header=HEADER):
    return "\n".join([header, *lines])


def take_in(cast, *lines, user=None, header=HEADER):
    person = user or cast.rita
    return customer_lists.take_in(
        actor=cast.actor(person),
        by=person,
        seller=cast.reseller,
        file_name="new.csv",
        text=text_of(*lines, header=header),
        at=AT,
    )


def confirmed(cast, *lines):
    listed = take_in(cast, *lines)
    customer_lists.confirm(actor=cast.actor(cast.rita), listed=listed, at=AT)
    return listed


def run(listed):
    done = customer_lists.run(import_id=listed.pk, now=timezone.now)
    listed.refresh_from_db()
    return done


def names(cast):
    return sorted(cast.reseller.children.values_list("name", flat=True))


def said(problems):
    return [(problem.line, problem.column) for problem in problems]


# Out ------------------------------------------------------------------------------------


def written(cast, user=None, *, sees_money=True):
    found = searching.found(cast.actor(user or cast.rita), Wanted())
    text = "".join(customer_lists.lines(found, sees_money=sees_money))
    return list(csv.DictReader(io.StringIO(text)))


def test_a_customer_is_written_with_what_was_counted(cast):
    make_list(cast.reseller, is_default=True, pop=("1.00", 0, "0"), imap=("2.50", 5, "0.12"))
    sold(cast.domain, "a")
    Limits.objects.create(organisation=cast.customer, mailboxes=7)
    figures.refresh(SellerFigures.objects.create(seller=cast.reseller), at=timezone.now())

    (row,) = written(cast)

    assert row["id"] == str(cast.customer.uuid)
    assert (row["name"], row["seller"], row["state"]) == ("Alder", "Rowan", "active")
    assert (row["mailboxes"], row["most_mailboxes"], row["most_domains"]) == ("1", "7", "")
    assert (row["first_domain"], row["last_sign_in"]) == ("alder.test", "")
    assert row["pays_currency"] == row["costs_currency"] == "EUR"
    assert float(row["left"]) == pytest.approx(float(row["pays"]) - float(row["costs"]))


def test_before_anything_was_counted_money_is_empty(cast):
    (row,) = written(cast)

    assert (row["mailboxes"], row["pays"], row["costs"], row["left"]) == ("0", "", "", "")


def test_no_cell_is_a_formula(cast):
    Organisation.objects.filter(pk=cast.customer.pk).update(
        name='=HYPERLINK("http://evil.test")', external_ref="@SUM(1)"
    )

    (row,) = written(cast)

    assert row["name"] == '\'=HYPERLINK("http://evil.test")'
    assert row["external_ref"] == "'@SUM(1)"


def test_money_is_written_for_those_who_see_it(cast):
    user = make_member("rob@example.test", cast.reseller, Membership.Role.ADMIN)
    client = Client()
    signed_in(user, client)

    text = b"".join(client.get("/customers/customers.csv").streaming_content).decode()

    assert "Alder" in text
    assert "costs" not in text


def test_the_file_holds_what_was_searched_for(cast):
    Organisation.objects.create(kind="customer", name="Hazel", parent=cast.reseller)
    client = Client()
    signed_in(cast.rita, client)

    answer = client.get("/customers/customers.csv?q=haz&after=9:zzz")

    text = b"".join(answer.streaming_content).decode()
    assert answer.headers["Content-Disposition"] == 'attachment; filename="customers.csv"'
    assert "Hazel" in text
    assert "Alder" not in text


# In: reading ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "column"),
    [
        ("", ""),
        ("name", ""),
        ("external_ref\nA-1", "name"),
        ("name,password\nHazel,secret", "password"),
        ("name,name\nHazel,Hazel", "name"),
        ('name\n"Hazel', ""),
    ],
)
def test_a_list_of_the_wrong_form_is_refused_whole(text, column):
    with pytest.raises(UnreadableList) as refusal:
        customer_lists.read(text)

    assert refusal.value.problem.column == column


def test_a_list_that_is_too_long_is_refused(monkeypatch):
    monkeypatch.setattr(customer_lists, "MOST_RECORDS", 2)

    with pytest.raises(UnreadableList):
        customer_lists.read("name\na\nb\nc")


@pytest.mark.parametrize(
    ("line", "column"),
    [
        (",,,,,,", "name"),
        ("Hazel", ""),
        ("Ha\u202ezel,,,,,,", "name"),
        ("Hazel,,nobody,,,,", "owner_email"),
        ("Hazel,,,no domain,,,", "domain"),
        ("Hazel,,,ALDER.test,,,", "domain"),
        ("Hazel,A-1,,,,,", "external_ref"),
        ("Alder,,,,,,", "name"),
        ("Hazel,,,,-1,,", "mailboxes"),
        ("Hazel,,,,1.5,,", "mailboxes"),
        ("Hazel,,,,,9999999999,", "domains"),
        ("Hazel,,,,,,1e9", "stored_bytes"),
        ("Hazel,,,,,,٣", "stored_bytes"),
        (f"Hazel,,,,,,{'9' * 400}", "stored_bytes"),
        (f"Hazel,,,,,,{'0' * 20}{'9' * 400}", "stored_bytes"),
    ],
)
def test_a_line_that_cannot_be_used_is_named_before_and_left_out(cast, line, column):
    Organisation.objects.filter(pk=cast.customer.pk).update(external_ref="A-1")
    listed = take_in(cast, line, "Fine,,,,,,")

    checked = customer_lists.preview(listed)

    assert said(checked.problems) == [(2, column)]
    assert [row.opening.name for row in checked.rows] == ["Fine"]


def test_a_list_whose_form_became_wrong_meanwhile_is_said_so(cast):
    listed = take_in(cast, "Hazel,,,,,,")
    CustomerImport.objects.update(content="nome\nHazel")
    listed.refresh_from_db()

    checked = customer_lists.preview(listed)

    assert (checked.rows, said(checked.problems)) == ([], [(1, "nome")])


def test_the_same_thing_twice_is_opened_once(cast):
    listed = take_in(
        cast, "A,R-1,,a.test,,,", "B,R-1,,,,,", "C,,,A.TEST,,,", "D,,,,,,", "D,,,,,,", "D,R-2,,,,,"
    )

    checked = customer_lists.preview(listed)

    assert said(checked.problems) == [(3, "external_ref"), (4, "domain"), (6, "name")]
    assert [row.line for row in checked.rows] == [2, 5, 7]


def test_the_same_name_elsewhere_is_another_customer(cast):
    reseller, sven = make_sibling(cast)
    listed = customer_lists.take_in(
        actor=cast.actor(sven), by=sven, seller=reseller, file_name="x", text="name\nAlder", at=AT
    )

    assert customer_lists.preview(listed).problems == []


def test_whoever_opens_none_brings_no_list(cast):
    user = make_member("rob@example.test", cast.reseller, Membership.Role.READ_ONLY)

    for person in (user, cast.alice, make_sibling(cast)[1]):
        with pytest.raises(Forbidden):
            take_in(cast, "Hazel,,,,,,", user=person)


# In: opening ----------------------------------------------------------------------------


def test_a_confirmed_list_opens_its_customers(cast):
    listed = confirmed(cast, "Hazel,A-2,dora@example.test,hazel.test,5,2,1000", "Ivy,,,,,,")

    assert run(listed)

    hazel = Organisation.objects.get(name="Hazel")
    assert names(cast) == ["Alder", "Hazel", "Ivy"]
    assert (listed.state, listed.opened_count, listed.problems) == ("finished", 2, [])
    assert hazel.external_ref == "A-2"
    assert hazel.domains.get().name == "hazel.test"
    assert hazel.invitations.get().email == "dora@example.test"
    limits = Limits.objects.get(organisation=hazel)
    assert (limits.mailboxes, limits.domains, limits.stored_bytes) == (5, 2, 1000)
    assert hazel.events.get(kind="organisation.created").actor_name == "rita@example.test"


def test_the_seller_and_nobody_below_is_told_that_a_list_is_done(cast):
    listed = confirmed(cast, "Hazel,,,,,,", "Ivy,,,,x,,")
    run(listed)

    [done] = [
        each
        for each in feed.read(actor=cast.actor(cast.rita)).documents
        if each["type"].startswith("import.")
    ]

    assert done["organisation_id"] == public_ids.encode("org", cast.reseller.uuid)
    assert done["data"] == {
        "object": "import",
        "id": public_ids.encode("imp", listed.uuid),
        "state": "finished",
        "row_count": 2,
        "done_count": 2,
        "problem_count": 1,
    }
    below = feed.read(actor=cast.actor(cast.alice)).documents
    assert [each for each in below if each["type"].startswith("import.")] == []


def test_the_seller_is_told_that_a_list_was_left_by_who_is_gone(cast):
    listed = confirmed(cast, "Hazel,,,,,,")
    User.objects.filter(pk=cast.rita.pk).update(is_active=False)

    run(listed)

    told = cast.reseller.events.filter(kind__startswith="import.")
    assert list(told.values_list("kind", flat=True)) == ["import.failed"]


def test_nothing_is_opened_before_somebody_says_so(cast):
    listed = take_in(cast, "Hazel,,,,,,")

    assert not run(listed)
    assert names(cast) == ["Alder"]


def test_only_who_brought_a_list_starts_it(cast):
    other = make_member("rob@example.test", cast.reseller, Membership.Role.OWNER)
    listed = take_in(cast, "Hazel,,,,,,")

    with pytest.raises(piecework.WrongState):
        customer_lists.confirm(actor=cast.actor(other), listed=listed, at=AT)


def test_a_list_run_twice_opens_nobody_twice(cast):
    listed = confirmed(cast, "Hazel,,,,,,")
    run(listed)

    assert not run(listed)
    assert resume_customer_imports() == 0
    assert names(cast) == ["Alder", "Hazel"]


def test_a_run_that_was_killed_goes_on_with_the_first_line_that_was_not_done(cast, monkeypatch):
    monkeypatch.setattr(piecework, "BATCH", 2)
    listed = confirmed(cast, *(f"C{number},,,,," + "," for number in range(5)))
    real, calls = opening.open_with, []

    def dying(**given):
        calls.append(given)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return real(**given)

    monkeypatch.setattr(opening, "open_with", dying)
    with pytest.raises(KeyboardInterrupt):
        run(listed)
    monkeypatch.setattr(opening, "open_with", real)
    listed.refresh_from_db()
    assert (listed.done_count, listed.opened_count) == (2, 2)
    assert not run(listed)

    later = timezone.now() + timedelta(minutes=5)
    assert customer_lists.resume(now=lambda: later) == 1
    listed.refresh_from_db()
    assert (listed.state, listed.opened_count) == ("finished", 5)
    assert names(cast) == ["Alder", *(f"C{number}" for number in range(5))]


def test_what_became_impossible_meanwhile_is_said_of_its_line(cast):
    listed = confirmed(cast, "Hazel,,,hazel.test,,0,", "Ivy,,,,,,")

    run(listed)

    assert listed.opened_count == 1
    assert [(p["line"], p["column"]) for p in listed.problems] == [(2, "domain")]
    assert names(cast) == ["Alder", "Ivy"]


def test_whoever_lost_the_role_meanwhile_opens_nobody(cast):
    listed = confirmed(cast, "Hazel,,,,,,")
    Membership.objects.filter(user=cast.rita).update(role="read_only")

    run(listed)

    assert (listed.state, listed.opened_count) == ("finished", 0)
    assert len(listed.problems) == 1


def test_whoever_left_opens_nobody(cast):
    listed = confirmed(cast, "Hazel,,,,,,")
    User.objects.filter(pk=cast.rita.pk).update(is_active=False)

    assert run_customer_import(import_id=listed.pk)

    listed.refresh_from_db()
    assert listed.state == "cancelled"
    assert names(cast) == ["Alder"]


# By the pages ---------------------------------------------------------------------------


@pytest.fixture
def rita(cast):
    client = Client()
    signed_in(cast.rita, client)
    return client


def upload(client, cast, content, name="new.csv"):
    file = SimpleUploadedFile(name, content, content_type="text/csv")
    return client.post("/customers/lists/", {"seller": str(cast.reseller.uuid), "file": file})


def test_a_list_is_looked_at_then_started_by_pages(rita, cast):
    answer = upload(rita, cast, text_of("Hazel,,,,,,", ",,,,,,").encode())
    place = answer.headers["Location"]

    page = rita.get(place).content.decode()
    rita.post(f"{place}confirm")
    listed = CustomerImport.objects.get()
    running = rita.get(place, headers={"HX-Request": "true"}).content.decode()
    run(listed)
    done = rita.get(place).content.decode()

    assert "1 customer would be opened" in page
    assert "Give the customer a name." in page
    assert running.lstrip().startswith('<div id="progress"')
    assert "0 of 2 lines done" in running
    assert "2 of 2 lines done. Customers opened: 1." in done
    assert "new.csv" in rita.get("/customers/lists/").content.decode()


def test_a_list_is_left_by_a_button(rita, cast):
    place = upload(rita, cast, b"name\nHazel").headers["Location"]

    rita.post(f"{place}cancel")
    again = rita.post(f"{place}confirm", follow=True)

    assert CustomerImport.objects.get().state == "cancelled"
    assert "cannot be done now" in again.content.decode()


@pytest.mark.parametrize("content", [b"", b"name", b"\xff\xfe\x00", b"name\nA\0B", b"nome\nHazel"])
def test_a_file_that_is_no_list_is_refused(rita, cast, content):
    answer = upload(rita, cast, content)

    assert answer.status_code == 422
    assert not CustomerImport.objects.exists()


def test_a_file_that_is_too_large_is_not_read(rita, cast):
    answer = upload(rita, cast, b"name\n" + b"x" * 2_000_001)

    assert answer.status_code == 422
    assert "more than 2 MB" in answer.content.decode()


def test_a_stopped_reseller_brings_no_list(rita, cast):
    Organisation.objects.filter(pk=cast.reseller.pk).update(state="suspended")

    answer = upload(rita, cast, b"name\nHazel")

    assert answer.status_code == 422
    assert "is stopped" in answer.content.decode()


def test_lists_of_a_sibling_are_absent(cast, rita):
    _reseller, sven = make_sibling(cast)
    place = upload(rita, cast, b"name\nHazel").headers["Location"]
    client = Client()
    signed_in(sven, client)

    assert client.get(place).status_code == 404
    assert client.post(f"{place}confirm").status_code == 404


def test_a_role_without_people_sees_no_lists(cast):
    client = Client()
    signed_in(make_member("rob@example.test", cast.reseller, Membership.Role.READ_ONLY), client)

    assert client.get("/customers/lists/").status_code == 403
