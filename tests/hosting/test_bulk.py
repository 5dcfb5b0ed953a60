"""Deeds for many rows: frozen, foreseen, confirmed by two above a size, done once."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import IntegrityError, OperationalError, connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.access import Forbidden, system
from accounts.models import Event, Membership, Notice, Organisation, User
from hosting import bulk, tasks
from hosting.bulk import working
from hosting.models import BulkItem, BulkRequest, Contract, Plan, WebhookDelivery
from hosting.webhooks import endpoints, feeding
from mailstore import holding, provisioning
from mailstore.models import Mailbox, PendingChange, Restriction
from tests.factories import AT, make_mailbox, make_member
from tests.staffing import MAILBOXES, act, ask_in_bulk, facts, in_role, said, stale, verified

pytestmark = pytest.mark.django_db(databases="__all__")

REQUESTS = "/staff/hosting/bulkrequest/"


@pytest.fixture
def kim(cast):
    """A colleague of Sam's with every right."""
    return make_member("kim@example.test", cast.provider, Membership.Role.OPERATOR)


@pytest.fixture
def sam(cast):
    return cast.sam


@pytest.fixture
def many(cast, settings):
    """More mailboxes than one person may suspend alone."""
    settings.BULK_ALONE_AT_MOST = 2
    return [make_mailbox(cast.domain, f"box{number}") for number in range(3)]


def drafted(cast, user, mailboxes, deed="suspend_mailboxes", *, rows=(), at=None):
    request = bulk.draft(
        actor=cast.actor(user),
        deed=bulk.DEEDS[deed],
        chosen=rows or [(each.pk, each.address) for each in mailboxes],
        at=at or timezone.now(),
    )
    bulk.put(actor=cast.actor(user), request=request, what={}, reason="Abuse")
    return request


def asked(cast, user, mailboxes, **given):
    request = drafted(cast, user, mailboxes, **given)
    return bulk.ask(actor=cast.actor(user), request=request, is_fresh=True, at=timezone.now())


def run(request):
    done = bulk.run(request_id=request.pk, now=timezone.now)
    request.refresh_from_db()
    return done


def states():
    return set(Mailbox.objects.values_list("state", flat=True))


# What one person does alone -------------------------------------------------------------


@pytest.mark.parametrize(
    "case",
    [
        ("suspend", "active", "suspended", "mailbox.suspended"),
        ("resume", "suspended", "pending", "mailbox.resumed"),
        ("reopen", "closing", "pending", "mailbox.restored"),
    ],
)
def test_action_calls_its_verb_in_the_name_of_who_is_signed_in(staff, cast, case):
    action, before, after, kind = case
    mailbox = make_mailbox(cast.domain)
    Mailbox.objects.filter(pk=mailbox.pk).update(state=before)
    Contract.objects.filter(mailbox=mailbox).update(ends_at=AT if before == "closing" else None)

    request, page = ask_in_bulk(staff, action, mailbox)

    assert states() == {after}
    assert facts(kind) == [(mailbox.address, cast.sam.email)]
    assert (request.state, request.done_count) == ("finished", 1)
    assert "1 of 1 done" in page.content.decode()


def test_nothing_is_done_by_looking(staff, cast):
    mailbox = make_mailbox(cast.domain)

    page = act(staff, "suspend", mailbox)

    text = page.content.decode()
    assert states() == {"active"}
    assert mailbox.address in text
    assert "Their contracts go on and are charged as before." in text
    assert "<strong>1</strong> of 1 chosen" in text


def test_nothing_is_asked_for_without_a_reason(staff, cast):
    mailbox = make_mailbox(cast.domain)

    request, page = ask_in_bulk(staff, "suspend", mailbox, reason="  ")

    assert (request.state, states()) == ("draft", {"active"})
    assert "This field is required." in page.content.decode()


def test_refusal_is_listed_and_holds_up_nothing_else(staff, cast):
    ours, theirs = make_mailbox(cast.domain), make_mailbox(cast.other_domain)
    Mailbox.objects.filter(pk=theirs.pk).update(state="suspended")

    request, page = ask_in_bulk(staff, "suspend", ours, theirs)

    assert (request.done_count, request.failed_count) == (1, 1)
    refusal = "hello@juniper.test has changed meanwhile, so this cannot be done now."
    assert refusal in page.content.decode()
    failures = staff.get(f"{REQUESTS}{request.pk}/failures/").getvalue().decode()
    assert failures == f'"hello@juniper.test","{refusal}"\r\n'


def test_action_reaches_only_what_the_page_showed(staff, cast):
    chosen, other = make_mailbox(cast.domain), make_mailbox(cast.domain, "other")

    act(staff, "suspend", chosen, select_across="1")

    assert [item.row_id for item in BulkItem.objects.all()] == [chosen.pk]
    assert other.pk not in BulkItem.objects.values_list("row_id", flat=True)


def test_all_that_match_are_chosen_by_a_word_of_their_own(staff, cast):
    boxes = [make_mailbox(cast.domain, f"box{number}") for number in range(60)]
    make_mailbox(cast.domain, "other")

    act(staff, "suspend", path=f"{MAILBOXES}?q=box", every_match="yes")

    assert set(BulkItem.objects.values_list("row_id", flat=True)) == {box.pk for box in boxes}
    assert BulkRequest.objects.get().row_count == 60


def test_what_no_deed_does_is_done_to_the_rows_of_a_page_alone(staff, cast):
    make_mailbox(cast.domain)

    page = act(staff, "change_limit", path=MAILBOXES, every_match="yes")

    assert said(page) == ["That is done to rows that a page shows. Choose them there."]


def test_more_than_anybody_looks_through_is_refused(staff, cast, monkeypatch):
    monkeypatch.setattr(bulk, "MOST_ROWS", 2)
    monkeypatch.setattr("hosting.bulk.asking.MOST_ROWS", 2)
    for number in range(3):
        make_mailbox(cast.domain, f"box{number}")

    page = act(staff, "suspend", path=MAILBOXES, every_match="yes")

    assert said(page) == ["That is more than 2 rows. Narrow the list down."]
    assert not BulkRequest.objects.exists()


def test_what_is_chosen_stays_although_the_list_changes(cast, sam):
    mailbox = make_mailbox(cast.domain)
    request = asked(cast, sam, [mailbox])
    make_mailbox(cast.domain, "later")

    run(request)

    assert Mailbox.objects.get(local_part="later").state == "active"
    assert Mailbox.objects.get(pk=mailbox.pk).state == "suspended"


def test_closing_takes_a_fresh_second_factor_and_leads_back(staff, cast):
    mailbox = make_mailbox(cast.domain)

    act(staff, "close", mailbox)
    request = BulkRequest.objects.get()
    where = f"{REQUESTS}{request.pk}/"

    answer = stale(staff).post(f"{where}ask/", {"reason": "They left", "confirmed": "yes"})

    request.refresh_from_db()
    assert (request.state, request.reason) == ("draft", "They left")
    assert answer.headers["Location"].startswith("/account/second-factor/?next=%2Fstaff%2Fhosting")
    assert "They left" in staff.get(f"{where}change/").content.decode()


def test_closing_waits_and_its_owners_are_told(cast, sam):
    mailbox = make_mailbox(cast.domain)
    client = verified(sam)

    request, _page = ask_in_bulk(client, "close", mailbox)

    assert (request.done_count, states()) == (1, {"active"})
    assert PendingChange.objects.get().asked_by == sam.email
    assert facts("change.asked")[0][1] == sam.email


def test_mailbox_under_a_hold_is_left(cast, sam, kim):
    mailbox = make_mailbox(cast.domain)
    scope = {"scope": mailbox, "matter": "Case 7", "reason": "Court", "at": AT}
    holding.place(actor=cast.actor(kim), by=kim, **scope)
    client = verified(sam)

    looked = act(client, "close", mailbox).content.decode()
    request, page = ask_in_bulk(client, "close", mailbox)

    assert "Nothing: a hold stands on it." in looked
    assert "<strong>0</strong> of 1 chosen" in looked
    assert request.failed_count == 1
    assert "hello@alder.test is held: Case 7." in page.content.decode()
    assert Contract.objects.get(mailbox=mailbox).ends_at is None


def test_page_says_what_closing_costs_the_house(cast, sam):
    boxes = [make_mailbox(cast.other_domain, f"box{number}") for number in range(3)]

    text = act(verified(sam), "close", *boxes).content.decode()

    assert "What ends is worth 7.50 EUR a month" in text
    assert "Juniper (3)" in text


def test_page_says_what_another_plan_costs(staff, cast):
    boxes = [make_mailbox(cast.other_domain, f"box{number}") for number in range(3)]
    act(staff, "change_plan", *boxes)
    request = BulkRequest.objects.get()
    plan = Plan.objects.get(slug="pop")

    page = staff.post(f"{REQUESTS}{request.pk}/ask/", {"reason": "x", "plan": plan.pk}, follow=True)

    assert "A month costs 7.50 EUR now and 3.00 EUR then" in page.content.decode()


def test_another_plan_than_was_shown_is_shown_first(cast, sam):
    mailbox = make_mailbox(cast.domain)
    client = verified(sam)
    act(client, "change_plan", mailbox)
    request = BulkRequest.objects.get()
    wanted = {"reason": "x", "plan": Plan.objects.get(slug="pop").pk, "confirmed": "yes"}

    client.post(f"{REQUESTS}{request.pk}/ask/", wanted)

    request.refresh_from_db()
    assert request.state == "draft"
    client.post(f"{REQUESTS}{request.pk}/ask/", wanted)
    request.refresh_from_db()
    assert request.state == "finished"


def test_staff_stop_organisations_and_let_them_go_on(cast, sam):
    client, path = verified(sam), "/staff/accounts/organisation/"
    make_mailbox(cast.domain)

    looked = act(client, "stop", cast.customer, cast.provider, path=path).content.decode()
    request, _page = ask_in_bulk(client, "stop", cast.customer, cast.provider, path=path)

    assert "Mailboxes that it reaches: 1." in looked
    assert "the house itself cannot be stopped" in looked
    assert (request.done_count, request.failed_count) == (1, 1)
    restriction = Restriction.objects.get()
    assert (restriction.reason, restriction.cause) == ("They asked for it.", "abuse")
    ask_in_bulk(client, "lift", cast.customer, path=path, reason="Explained")
    assert Organisation.objects.get(pk=cast.customer.pk).state == "active"
    assert "Nothing: staff have not stopped it." in (
        act(client, "lift", cast.customer, path=path).content.decode()
    )


# What takes two -------------------------------------------------------------------------


def test_above_the_size_nothing_runs_before_a_second_person_says_so(cast, sam, kim, many):
    request = asked(cast, sam, many)

    assert (request.state, request.needs_second, states()) == ("asked", True, {"active"})
    assert not run(request)
    bulk.confirm(actor=cast.actor(kim), request=request, is_fresh=True, at=timezone.now())
    assert run(request)
    assert (request.state, request.done_count, states()) == ("finished", 3, {"suspended"})
    both = "sam@example.test, confirmed by kim@example.test"
    assert {by for _name, by in facts("mailbox.suspended")} == {both}


def test_small_pieces_of_a_large_request_take_a_second_person_as_well(cast, sam, kim, many):
    """The third row of the hour is one more than one person does alone, whoever did the others."""
    first = asked(cast, sam, many[:2])
    page = verified(sam).get(f"{REQUESTS}{drafted(cast, sam, many[2:]).pk}/change/")
    second = asked(cast, sam, many[2:])
    of_kim = asked(cast, kim, many[2:])
    other = asked(cast, sam, many[2:], deed="resume_mailboxes")

    assert [each.needs_second for each in (first, second, of_kim, other)] == [
        False,
        True,
        False,
        False,
    ]
    assert "With what you had done alone within the last hour" in page.content.decode()


def test_an_hour_later_one_person_does_some_alone_again(cast, sam, many):
    first = asked(cast, sam, many[:2])
    BulkRequest.objects.update(asked_at=first.asked_at - timedelta(hours=1, seconds=1))

    assert not asked(cast, sam, many[1:]).needs_second


def test_what_a_second_person_confirmed_or_nobody_did_counts_for_nobody_alone(cast, sam, kim, many):
    confirmed = asked(cast, sam, many)
    bulk.confirm(actor=cast.actor(kim), request=confirmed, is_fresh=True, at=timezone.now())
    left = asked(cast, sam, many[:2])
    bulk.call_off(actor=cast.actor(sam), request=left, at=timezone.now())

    assert not asked(cast, sam, many[:2]).needs_second


def test_nothing_is_done_in_the_name_of_a_second_person_who_lost_the_right(cast, sam, kim, many):
    request = asked(cast, sam, many)
    bulk.confirm(actor=cast.actor(kim), request=request, is_fresh=True, at=timezone.now())
    in_role(kim, Membership.Role.STAFF_BILLING)

    assert run(request)

    assert (request.state, request.done_count, states()) == ("called_off", 0, {"active"})


def test_nobody_confirms_what_they_asked_for(cast, sam, many):
    request = asked(cast, sam, many)

    with pytest.raises(bulk.Refused, match="Somebody else"):
        bulk.confirm(actor=cast.actor(sam), request=request, is_fresh=True, at=timezone.now())
    with pytest.raises(IntegrityError), transaction.atomic():
        BulkRequest.objects.filter(pk=request.pk).update(confirmed_by=sam)
    with pytest.raises(IntegrityError), transaction.atomic():
        BulkRequest.objects.filter(pk=request.pk).update(state="running")


@pytest.mark.parametrize("lost", ["is_active", "is_staff", "rights"])
def test_second_person_has_the_rights_themselves(cast, sam, kim, many, lost):
    request = asked(cast, sam, many)
    if lost == "rights":
        in_role(kim, Membership.Role.STAFF_BILLING)
    else:
        User.objects.filter(pk=kim.pk).update(**{lost: False})
    kim = User.objects.get(pk=kim.pk)

    with pytest.raises(Forbidden):
        bulk.confirm(actor=cast.actor(kim), request=request, is_fresh=True, at=timezone.now())
    assert not BulkRequest.objects.running().exists()


def test_second_person_needs_a_fresh_second_factor(cast, sam, kim, many):
    request = asked(cast, sam, many)
    tired = stale(verified(kim))

    answer = tired.post(f"{REQUESTS}{request.pk}/confirm/")
    request.refresh_from_db()
    assert answer.headers["Location"].startswith("/account/second-factor/?next=")
    assert request.state == "asked"
    awake = verified(kim)
    awake.post(f"{REQUESTS}{request.pk}/confirm/")
    request.refresh_from_db()
    assert (request.state, request.confirmed_by) == ("running", kim)


def test_who_asks_for_much_needs_a_fresh_second_factor(cast, sam, many):
    request = drafted(cast, sam, many)

    with pytest.raises(bulk.NotFresh):
        bulk.ask(actor=cast.actor(sam), request=request, is_fresh=False, at=timezone.now())


def test_both_see_the_same_page(cast, sam, kim, many):
    request = asked(cast, sam, many)

    mine = verified(sam).get(f"{REQUESTS}{request.pk}/change/")
    theirs = verified(kim).get(f"{REQUESTS}{request.pk}/change/")

    assert mine.context["foreseen"] == theirs.context["foreseen"]
    assert "Confirm what sam@example.test asks for" in theirs.content.decode()
    assert "Confirm what" not in mine.content.decode()
    assert "It takes a second person." in mine.content.decode()


def test_everybody_concerned_has_a_letter(cast, sam, kim, many):
    request = asked(cast, sam, many)
    told = [set(Notice.objects.values_list("to", flat=True))]
    bulk.confirm(actor=cast.actor(kim), request=request, is_fresh=True, at=timezone.now())
    run(request)

    assert told == [{kim.email}]
    stages = Notice.objects.order_by("pk").values_list("to", "context__stage")
    assert list(stages) == [
        (kim.email, "asked"),
        (sam.email, "confirmed"),
        (kim.email, "confirmed"),
        (sam.email, "finished"),
        (kim.email, "finished"),
    ]


def test_every_step_is_a_fact_with_both_names(cast, sam, kim, many):
    request = asked(cast, sam, many)
    bulk.confirm(actor=cast.actor(kim), request=request, is_fresh=True, at=timezone.now())
    run(request)

    steps = Event.objects.filter(kind__startswith="bulk.").order_by("seq")
    assert [(each.kind, each.actor_name) for each in steps] == [
        ("bulk.asked", sam.email),
        ("bulk.confirmed", kim.email),
        ("bulk.finished", "bulk"),
    ]
    last = steps.last().data
    assert (last["asked_by"], last["confirmed_by"]) == (sam.email, kim.email)
    assert (last["reason"], last["done"]) == ("Abuse", 3)


def test_nobody_confirms_after_a_day(cast, sam, kim, many):
    request = asked(cast, sam, many)
    late = request.expires_at

    with pytest.raises(bulk.Refused):
        bulk.confirm(actor=cast.actor(kim), request=request, is_fresh=True, at=late)
    assert bulk.forget_expired(at=late) == 1
    assert bulk.forget_expired(at=late) == 0

    request.refresh_from_db()
    assert (request.state, states()) == ("expired", {"active"})
    assert facts("bulk.expired")
    assert Notice.objects.get(context__stage="expired").to == sam.email


def test_draft_that_nobody_asked_for_leaves_nothing(cast, sam):
    request = drafted(cast, sam, [make_mailbox(cast.domain)])

    bulk.forget_expired(at=request.expires_at - timedelta(seconds=1))
    assert BulkRequest.objects.exists()
    bulk.forget_expired(at=request.expires_at)

    assert not BulkRequest.objects.exists()
    assert not BulkItem.objects.exists()
    assert not Event.objects.filter(kind__startswith="bulk.").exists()


def test_either_calls_it_off(cast, sam, kim, many):
    request = asked(cast, sam, many)

    bulk.call_off(actor=cast.actor(kim), request=request, at=timezone.now())

    request.refresh_from_db()
    assert (request.state, request.ended_by, states()) == ("called_off", kim.email, {"active"})
    with pytest.raises(bulk.Refused):
        bulk.confirm(actor=cast.actor(kim), request=request, is_fresh=True, at=timezone.now())
    with pytest.raises(bulk.Refused):
        bulk.call_off(actor=cast.actor(kim), request=request, at=timezone.now())


def test_two_who_confirm_at_once_confirm_once(cast, sam, kim, many):
    lee = make_member("lee@example.test", cast.provider, Membership.Role.SUPPORT)
    request = asked(cast, sam, many)
    stale = BulkRequest.objects.get(pk=request.pk)

    bulk.confirm(actor=cast.actor(kim), request=request, is_fresh=True, at=timezone.now())

    with pytest.raises(bulk.Refused):
        bulk.confirm(actor=cast.actor(lee), request=stale, is_fresh=True, at=timezone.now())
    assert len(facts("bulk.confirmed")) == 1


def test_customers_and_keys_ask_for_nothing(cast):
    mailbox = make_mailbox(cast.domain)

    for actor in (cast.actor(cast.alice), system("tests")):
        with pytest.raises(Forbidden):
            bulk.draft(
                actor=actor,
                deed=bulk.DEEDS["suspend_mailboxes"],
                chosen=[(mailbox.pk, "x")],
                at=timezone.now(),
            )


def test_staff_without_the_right_are_offered_nothing_and_do_nothing(
    cast, sam, kim, made_delivery, settings
):
    settings.BULK_ALONE_AT_MOST = 0
    request = drafted(cast, sam, [], deed="send_deliveries", rows=[(made_delivery.pk, "one")])
    bulk.ask(actor=cast.actor(sam), request=request, is_fresh=True, at=timezone.now())
    looker = in_role(kim, Membership.Role.SUPPORT)

    page = looker.get(f"{REQUESTS}{request.pk}/change/").content.decode()
    answers = [looker.post(f"{REQUESTS}{request.pk}/{each}/") for each in ("confirm", "call_off")]

    assert "Confirm what" not in page
    assert "Call it off" not in page
    assert [answer.status_code for answer in answers] == [403, 403]
    act(looker, "send_again", made_delivery, path="/staff/hosting/webhookdelivery/")
    assert BulkRequest.objects.get().state == "asked"


def test_staff_see_no_request_about_what_they_may_not_look_at(cast, sam, kim, many):
    of_mail = asked(cast, sam, many)
    of_letters = drafted(cast, kim, [], deed="send_letters", rows=[(1, "lost@example.test")])
    client = in_role(kim, Membership.Role.STAFF_BILLING)

    shown = client.get(REQUESTS).context["cl"].result_list
    exported = client.get(f"{REQUESTS}export/").getvalue().decode()
    paths = [f"{REQUESTS}{of_mail.pk}/{each}/" for each in ("change", "progress", "failures")]
    posts = [f"{REQUESTS}{of_mail.pk}/{each}/" for each in ("ask", "confirm", "call_off")]

    assert list(shown) == [of_letters]
    assert "suspend_mailboxes" not in exported
    assert {client.get(path).status_code for path in paths} == {404}
    assert {client.post(path, {"reason": "x"}).status_code for path in posts} == {404}
    assert client.get(f"{REQUESTS}{of_letters.pk}/change/").status_code == 200
    act(client, "suspend", many[0])
    assert BulkRequest.objects.count() == 2
    of_mail.refresh_from_db()
    assert of_mail.state == "asked"


# Done once, whatever is killed ----------------------------------------------------------


def test_killed_worker_is_followed_and_nothing_is_done_twice(cast, sam, monkeypatch):
    boxes = [make_mailbox(cast.domain, f"box{number}") for number in range(3)]
    request = asked(cast, sam, boxes)
    real, calls = provisioning.suspend, []

    def suspend(*, mailbox, **given):
        calls.append(mailbox.pk)
        if len(calls) == 2:
            raise KeyboardInterrupt
        real(mailbox=mailbox, **given)

    monkeypatch.setattr(provisioning, "suspend", suspend)
    with pytest.raises(KeyboardInterrupt):
        run(request)
    request.refresh_from_db()
    assert (request.state, request.done_count) == ("running", 1)
    # Its lease is still held, so nobody begins beside it.
    assert not run(request)

    later = timezone.now() + timedelta(minutes=3)
    assert bulk.resume(now=lambda: later) == 1

    request.refresh_from_db()
    assert (request.state, request.done_count) == ("finished", 3)
    assert len(facts("mailbox.suspended")) == 3


def test_database_that_is_away_leaves_the_row_for_the_next_turn(cast, sam, monkeypatch):
    request = asked(cast, sam, [make_mailbox(cast.domain)])

    def away(**_given):
        message = "the database is away"
        raise OperationalError(message)

    monkeypatch.setattr(provisioning, "suspend", away)
    with pytest.raises(OperationalError):
        run(request)

    request.refresh_from_db()
    assert (request.done_count, request.failed_count) == (0, 0)


def test_row_that_breaks_the_verb_is_named_and_the_rest_goes_on(cast, sam, monkeypatch):
    boxes = [make_mailbox(cast.domain, f"box{number}") for number in range(2)]
    request = asked(cast, sam, boxes)
    real = provisioning.suspend

    def suspend(*, mailbox, **given):
        if mailbox.local_part == "box0":
            message = "unforeseen\0"
            raise ValueError(message)
        real(mailbox=mailbox, **given)

    monkeypatch.setattr(provisioning, "suspend", suspend)
    run(request)

    assert (request.done_count, request.failed_count) == (1, 1)
    assert request.items.get(state="failed").problem == "ValueError: unforeseen"


def test_what_is_called_off_in_the_middle_stops_there(cast, sam, monkeypatch):
    boxes = [make_mailbox(cast.domain, f"box{number}") for number in range(3)]
    request = asked(cast, sam, boxes)
    real = provisioning.suspend

    def suspend(*, mailbox, **given):
        real(mailbox=mailbox, **given)
        if mailbox.local_part == "box1":
            BulkRequest.objects.filter(pk=request.pk).update(
                state="called_off", ended_at=timezone.now()
            )

    monkeypatch.setattr(provisioning, "suspend", suspend)

    assert not run(request)
    assert request.done_count == 2
    assert Mailbox.objects.filter(state="suspended").count() == 2


def test_row_that_is_gone_is_named(cast, sam, made_delivery):
    request = bulk.draft(
        actor=cast.actor(sam),
        deed=bulk.DEEDS["send_deliveries"],
        chosen=[(made_delivery.pk, "one")],
        at=timezone.now(),
    )
    bulk.put(actor=cast.actor(sam), request=request, what={}, reason="x")
    bulk.ask(actor=cast.actor(sam), request=request, is_fresh=True, at=timezone.now())
    WebhookDelivery.objects.all().delete()

    run(request)

    assert request.items.get().problem == "It is gone."


@pytest.fixture
def made_delivery(cast, settings):
    settings.ALLOW_PRIVATE_WEBHOOKS = True
    organisation, actor = cast.customer, system("tests")
    made = endpoints.make(actor=actor, organisation=organisation, url="https://192.0.2.1/", at=AT)
    endpoints.ping(actor=actor, endpoint=made.endpoint, at=AT)
    feeding.feed_all(at=AT)
    return WebhookDelivery.objects.get()


def test_work_ends_where_whoever_asked_may_not_do_it_any_more(cast, sam):
    request = asked(cast, sam, [make_mailbox(cast.domain)])
    User.objects.filter(pk=sam.pk).update(is_staff=False)

    run(request)

    assert (request.state, states()) == ("called_off", {"active"})


def test_sweep_takes_up_what_nobody_works_on(cast, sam):
    request = asked(cast, sam, [make_mailbox(cast.domain)])

    assert tasks.resume_bulk() == 1
    assert not tasks.run_bulk(request_id=request.pk)

    assert states() == {"suspended"}


def test_lease_is_renewed_with_each_row(cast, sam, monkeypatch):
    boxes = [make_mailbox(cast.domain, f"box{number}") for number in range(3)]
    request = asked(cast, sam, boxes)
    moments = iter(timezone.now() + timedelta(seconds=100 * step) for step in range(20))

    bulk.run(request_id=request.pk, now=lambda: next(moments))

    request.refresh_from_db()
    assert request.state == "finished"
    assert timedelta(minutes=2) == working._LEASE


# Size -----------------------------------------------------------------------------------


@pytest.mark.parametrize("deed", ["suspend_mailboxes", "close_mailboxes"])
def test_preview_takes_as_many_queries_for_many_as_for_few(cast, sam, settings, deed):
    settings.BULK_ALONE_AT_MOST = 1
    counts = []
    for number in (2, 30):
        boxes = [make_mailbox(cast.domain, f"b{number}x{each}") for each in range(number)]
        request = drafted(cast, sam, boxes, deed=deed)
        with CaptureQueriesContext(connection) as queries:
            bulk.DEEDS[deed].foresee(request, timezone.now())
        counts.append(len(queries))

    assert counts[0] == counts[1] < 16
