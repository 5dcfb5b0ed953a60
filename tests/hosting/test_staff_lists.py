"""The staff's lists behind very many rows: what a page reads, and what hostile text does to it."""

from __future__ import annotations

from contextlib import suppress
from urllib.parse import parse_qs, urlsplit

import pytest
from django.contrib import admin
from django.db import IntegrityError, OperationalError, connection, models, transaction
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from accounts import outbox
from accounts.access import ActorKind, system
from accounts.models import Event, Membership, Notice, Organisation, User
from accounts.staff import KeysetChangeList, StaffAdmin
from hosting.models import Contract, Invoice
from mailstore.models import Alarm, AppPassword, Domain, Mailbox, PurgeRun, Removal
from tests.factories import AT, make_mailbox
from tests.hosting.test_admin import full_house, pages_of
from tests.staffing import MAILBOXES

__all__ = ["full_house"]

pytestmark = pytest.mark.django_db(databases="__all__")

OURS = [model for model, each in admin.site._registry.items() if isinstance(each, StaffAdmin)]
MANY = 400
MARKUP = "<script>alert(1)</script><img src=x onerror=alert(2)>"


@pytest.fixture
def crowd(full_house, cast):
    """Hundreds of whatever there can be a million of, all of it below one organisation."""
    numbers = range(MANY)
    Organisation.objects.bulk_create(
        Organisation(kind="customer", name=f"Customer {n}", parent=cast.provider) for n in numbers
    )
    people = User.objects.bulk_create(
        User(email=f"p{n}@crowd.test", is_staff=True) for n in numbers
    )
    Membership.objects.bulk_create(
        Membership(user=person, organisation=cast.provider, role="read_only") for person in people
    )
    Domain.objects.bulk_create(
        Domain(name=f"d{n}.crowd.test", organisation=cast.customer) for n in numbers
    )
    boxes = Mailbox.objects.bulk_create(
        Mailbox(
            address=f"b{n}@alder.test",
            local_part=f"b{n}",
            domain=cast.domain,
            organisation=cast.customer,
            protocol="imap",
            quota_bytes=1,
            window_days=1,
        )
        for n in numbers
    )
    first = Mailbox.objects.order_by("pk").last()
    plan = Contract.objects.latest("pk").plan
    Contract.objects.bulk_create(Contract(mailbox=box, plan=plan, starts_at=AT) for box in boxes)
    AppPassword.objects.bulk_create(
        AppPassword(mailbox=first, label=f"Phone {n}", digest=f"{n}") for n in numbers
    )
    PurgeRun.objects.bulk_create(
        PurgeRun(mailbox=first, kind="retention", state="done", planned_at=AT) for n in numbers
    )
    Alarm.objects.bulk_create(
        Alarm(mailbox=first, at=AT, since=AT, messages=1, bytes=1, reason="x", answer="own_doing")
        for n in numbers
    )
    Removal.objects.bulk_create(
        Removal(mailbox=first, folder="x", messages=1, bytes=1, began_at=AT, ended_at=AT)
        for n in numbers
    )
    Event.objects.bulk_create(
        Event(
            kind="mailbox.updated",
            at=AT,
            organisation=cast.provider,
            actor_kind=ActorKind.SYSTEM,
            subject_kind="mailbox",
        )
        for n in numbers
    )
    Notice.objects.bulk_create(
        Notice(to="x@crowd.test", name="test_message", created_at=AT) for n in numbers
    )


@pytest.fixture
def rows_made(monkeypatch):
    """How many rows of our tables have been made into objects so far."""
    made = []
    real = models.Model.from_db.__func__

    def from_db(cls, *given):
        # Rights are as many as there are tables, whoever grows.
        if cls._meta.app_label not in {"auth", "contenttypes"}:
            made.append(cls)
        return real(cls, *given)

    monkeypatch.setattr(models.Model, "from_db", classmethod(from_db))
    return made


def test_no_page_reads_more_than_it_shows(staff, crowd, rows_made):
    """A page has fifty rows, each with up to four that it names; a form suggests as many."""
    too_much = {}
    for model in OURS:
        for page in pages_of(model):
            if page.endswith("export/"):
                continue
            rows_made.clear()
            answer = staff.get(page, follow=True)
            answer.getvalue()
            assert answer.status_code == 200, page
            if len(rows_made) > 300:
                too_much[page] = len(rows_made)

    assert too_much == {}


def test_no_page_counts_a_table_or_skips_rows(staff, crowd):
    counting = []
    for model in OURS:
        for page in pages_of(model):
            if page.endswith("export/"):
                continue
            with CaptureQueriesContext(connection) as queries:
                staff.get(page, follow=True)
            for each in queries:
                sql = each["sql"].upper()
                # What was chosen in bulk is a list of ten thousand at most.
                is_bounded = "LIMIT" in sql or "HOSTING_BULKITEM" in sql
                if "OFFSET" in sql or ("COUNT(" in sql and not is_bounded):
                    counting.append((page, sql[:200]))

    assert counting == []


def test_suggestions_are_few_and_uncounted(staff, crowd):
    where = "/staff/autocomplete/"
    for field, label in (("organisation", "domain"), ("domain", "mailbox")):
        with CaptureQueriesContext(connection) as queries:
            answer = staff.get(
                where,
                {"term": "", "app_label": "mailstore", "model_name": label, "field_name": field},
            )
        assert len(answer.json()["results"]) <= 50
        assert not any("COUNT(" in each["sql"] for each in queries)


# Looking through in pieces --------------------------------------------------------------


def addresses(page):
    return [mailbox.local_part for mailbox in page.context["cl"].result_list]


def follow(client, page, way):
    url = getattr(page.context["cl"], f"{way}_url")
    return client.get(MAILBOXES + url) if url else None


@pytest.fixture
def rare(cast, monkeypatch):
    """Thirty mailboxes, of which every tenth is suspended; a page looks at eight."""
    monkeypatch.setattr(KeysetChangeList, "looks_through", 8)
    boxes = [make_mailbox(cast.domain, f"box{number:02}") for number in range(30)]
    Mailbox.objects.filter(pk__in=[box.pk for box in boxes[::10]]).update(state="suspended")


def test_what_no_index_finds_is_looked_for_in_pieces(staff, rare):
    page = staff.get(f"{MAILBOXES}?state__exact=suspended")
    seen, pages = [], 0
    while page is not None:
        seen += addresses(page)
        pages += 1
        page = follow(staff, page, "next")

    assert seen == ["box20", "box10", "box00"]
    assert pages == 4


def test_one_finds_the_way_back_through_the_pieces(staff, rare):
    page = staff.get(f"{MAILBOXES}?state__exact=suspended")
    while (further := follow(staff, page, "next")) is not None:
        page = further
    seen = [addresses(page)]
    while (nearer := follow(staff, page, "previous")) is not None:
        page = nearer
        seen.append(addresses(page))
        assert len(seen) < 12

    assert [name for part in seen for name in part] == ["box00", "box10", "box20"]


def test_page_says_that_it_looks_further(staff, rare):
    page = staff.get(f"{MAILBOXES}?state__exact=suspended")

    assert "Look further back" in page.content.decode()
    assert "8 rows were looked through." in page.content.decode()
    whole = staff.get(MAILBOXES)
    assert "Look further back" not in whole.content.decode()


def test_what_an_index_holds_is_found_at_once(staff, rare):
    Mailbox.objects.filter(local_part="box00").update(full_since=AT)

    assert addresses(staff.get(f"{MAILBOXES}?full_since__isempty=0")) == ["box00"]
    assert addresses(staff.get(f"{MAILBOXES}?q=BOX00")) == ["box00"]


# Hostile text ---------------------------------------------------------------------------


def texts_of(model):
    """The columns in which people or programs write."""
    return [
        field
        for field in model._meta.concrete_fields
        if isinstance(field, models.CharField | models.TextField)
        and not field.choices
        and not field.unique
        and not isinstance(field, models.URLField | models.EmailField | models.SlugField)
    ]


@pytest.fixture
def hostile_house(full_house, cast):
    """Markup in every column that holds text, of every row of every model that staff see."""
    keep = {
        *("password", "digest", "password_hash", "currency", "work", "actor_kind"),
        *("actor_id", "subject_id", "event_type", "kind", "deed", "name_of", "accent"),
        *("accent_dark", "codename", "vat_id", "country", "token", "body_digest", "problem"),
    }
    written = 0
    for model in OURS:
        if model in {Invoice, Event} or model._meta.app_label == "auth":
            continue
        fields = [
            field
            for field in texts_of(model)
            if field.name not in keep and (field.max_length or 500) >= len(MARKUP)
        ]
        if model is Notice:
            fields = [field for field in fields if field.name != "name"]
        for field in fields:
            # Some tables never change, which the database sees to.
            with suppress(IntegrityError, OperationalError), transaction.atomic():
                written += model.objects.update(**{field.attname: MARKUP})
    outbox.record(
        kind="mailbox.updated",
        at=AT,
        actor=system(MARKUP),
        organisation=cast.customer,
        subject=("mailbox", "x", MARKUP),
        data={"x": MARKUP},
    )
    assert written > 30


@pytest.mark.parametrize("model", OURS)
def test_markup_is_shown_as_it_was_written(staff, hostile_house, model):
    for page in pages_of(model):
        if page.endswith("export/"):
            continue
        text = staff.get(page, follow=True).getvalue().decode()
        assert MARKUP not in text, page
        assert "<script>alert" not in text, page
        assert "<img src=x" not in text, page


def test_markup_in_an_address_bar_is_harmless_too(staff, cast):
    for query in (f"?q={MARKUP}", f"?state__exact={MARKUP}", f"?e={MARKUP}", f"?after={MARKUP}"):
        for path in (MAILBOXES, "/staff/search/", "/staff/accounts/event/"):
            answer = staff.get(path + query, follow=True)
            assert "<script>alert" not in answer.getvalue().decode()
            assert "<img src=x" not in answer.getvalue().decode()


def test_links_of_pages_carry_the_filter(staff, rare):
    page = staff.get(f"{MAILBOXES}?state__exact=suspended")

    query = parse_qs(urlsplit(page.context["cl"].next_url).query)

    assert query["state__exact"] == ["suspended"]
    assert "after" in query


@pytest.mark.parametrize("key", ["9" * 30, "0" * 20 + "9" * 30, "0" * 5000 + "7", "٣"])
def test_a_key_that_no_row_has_breaks_no_list(staff, cast, key):
    answer = staff.get(MAILBOXES, {"after": key}, follow=True)

    assert answer.status_code == 200


@pytest.mark.parametrize(
    "query",
    [
        "created_at__year=99999",
        "created_at__year__gte=-1",
        "created_at__week=99999999999999999999",
        "created_at__date=99999-01-01",
        "created_at__gte=0001-01-01T00:00%2B23:00",
        "created_at__year=1e3",
        "pk__regex=(",
        "pk=99999999999999999999",
        "pk__in=99999999999999999999,1",
        "pk__gte=1e999",
    ],
)
@pytest.mark.parametrize("path", [MAILBOXES, f"{MAILBOXES}export/"])
def test_a_value_that_no_column_can_hold_breaks_no_list(staff, cast, path, query):
    answer = staff.get(f"{path}?{query}", follow=True)

    assert answer.status_code in {200, 400}
    assert answer.getvalue()


@pytest.mark.parametrize("name", ["change", "history"])
@pytest.mark.parametrize("model", OURS)
def test_a_page_of_a_row_that_no_key_can_name_leads_back(staff, cast, model, name):
    opts = model._meta
    key = "9" * 30

    url = reverse(f"admin:{opts.app_label}_{opts.model_name}_{name}", args=[key])
    answer = staff.get(url)

    assert answer.status_code == 302


NO_KEYS = ["abc", "9" * 30, "", "\0", "1 OR 1=1"]


@pytest.mark.parametrize("model", OURS)
def test_an_action_on_what_is_no_row_touches_none(staff, full_house, model):
    opts = model._meta
    path = reverse(f"admin:{opts.app_label}_{opts.model_name}_changelist")
    form = staff.get(path).context["action_form"]

    for action, _words in form.fields["action"].choices if form else ():
        asked = {"action": action, "_selected_action": NO_KEYS, "index": "0"}
        assert staff.post(path, asked).status_code in {200, 302}


CHOOSING = [
    (model, name) for model in OURS for name in admin.site._registry[model].autocomplete_fields
]


@pytest.mark.parametrize("key", NO_KEYS)
@pytest.mark.parametrize(("model", "name"), CHOOSING)
def test_a_choice_that_is_no_row_is_answered_with_the_form(staff, cast, model, name, key):
    opts = model._meta
    path = reverse(f"admin:{opts.app_label}_{opts.model_name}_add")

    assert staff.post(path, {name: key}).status_code == 200
    assert staff.get(path, {name: key.replace("\0", "")}).status_code == 200


@pytest.mark.parametrize("key", NO_KEYS)
@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/staff/mailstore/restriction/add/", "organisation"),
        ("/staff/hosting/payment/add/", "customer"),
        ("/staff/mailstore/hold/add/", "mailboxes"),
        ("/staff/mailstore/hold/add/", "organisations"),
    ],
)
def test_a_form_of_our_own_takes_no_row_that_is_none(staff, cast, path, name, key):
    answer = staff.post(path, {name: key, "matter": "Case 7", "reason": "A court asks."})

    assert answer.status_code == 200


def test_moments_of_lists_name_their_zone(staff, cast):
    event = Event.objects.first()
    moment = f"{event.at:%-d %b %Y, %H:%M} UTC"

    assert moment in staff.get("/staff/accounts/event/").content.decode()
