"""Staff place and release holds in the staff pages; nobody deletes or rewrites one."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.models import Membership, User
from mailstore import holding
from mailstore.models import Hold
from tests.factories import AT, make_domain, make_mailbox, make_member
from tests.hosting.api.caller import make_key
from tests.staffing import MAILBOXES, act, facts, in_role, lines_of, said, verified

pytestmark = pytest.mark.django_db(databases=["default", "reports"])

HOLDS = "/staff/mailstore/hold/"


@pytest.fixture
def mailbox(cast):
    return make_mailbox(cast.domain)


@pytest.fixture
def second(cast):
    """Tess, also an operator of the house."""
    tess = make_member("tess@example.test", cast.provider, Membership.Role.OPERATOR)
    return verified(tess)


def place(client, **fields):
    given = {"matter": "Case 7", "reason": "A court asks for it."}
    return client.post(f"{HOLDS}add/", given | fields, follow=True)


def release(client, *holds, reason="The case is closed."):
    return act(client, "release", *holds, path=HOLDS, reason=reason, confirmed="yes")


def hold_on(mailbox, user, matter="Case 7"):
    return Hold.objects.create(
        mailbox=mailbox, matter=matter, reason="Court", placed_by=user, placed_at=AT
    )


def errors_of(response):
    return response.context["form"].non_field_errors()


def test_several_holds_are_placed_at_once_each_by_the_verb(staff, cast, mailbox):
    other = make_mailbox(cast.domain, "other")

    response = place(
        staff,
        mailboxes=[mailbox.pk, other.pk],
        domains=[cast.other_domain.pk],
        organisations=[cast.reseller.pk],
    )

    assert said(response) == ["4 holds stand. Nothing below them is removed any more."]
    scopes = [
        hold.mailbox or hold.domain or hold.organisation for hold in Hold.objects.order_by("pk")
    ]
    assert scopes == [mailbox, other, cast.other_domain, cast.reseller]
    assert facts("hold.placed") == [("Case 7", cast.sam.email)] * 4
    with pytest.raises(holding.Stopped):
        holding.refuse_if_held(mailbox)


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({}, {"__all__": ["Choose at least one mailbox, domain or organisation."]}),
        ({"matter": " "}, {"matter": ["This field is required."]}),
        ({"reason": " \n"}, {"reason": ["This field is required."]}),
        ({"mailboxes": "x"}, {"mailboxes": ["“x” is not a valid value."]}),
        ({"organisations": "0"}, None),
        ({"matter": "x" * 121}, None),
    ],
)
def test_hold_without_scope_matter_or_reason_is_a_form_error(staff, cast, fields, wrong):
    response = place(staff, **fields)

    assert response.context["form"].errors == (wrong or response.context["form"].errors)
    assert response.context["form"].errors
    assert not Hold.objects.exists()


def test_refusal_of_the_verb_is_a_form_error(staff, cast, mailbox, monkeypatch):
    def refuse(**_):
        raise holding.HoldRefused("Not like this.")

    monkeypatch.setattr(holding, "place", refuse)

    assert errors_of(place(staff, mailboxes=mailbox.pk)) == ["Not like this."]


def test_what_was_chosen_in_a_list_is_carried_to_the_new_hold(staff, cast, mailbox):
    other = make_mailbox(cast.domain, "other")

    from_mailboxes = act(staff, "hold", mailbox, other)
    from_domains = act(staff, "hold", cast.domain, path="/staff/mailstore/domain/")
    junk = staff.get(f"{HOLDS}add/?mailboxes=x&mailboxes=1%00&domains={'9' * 30}")

    assert f'<option value="{mailbox.pk}" selected>' in from_mailboxes.content.decode()
    assert f'<option value="{other.pk}" selected>' in from_mailboxes.content.decode()
    assert f'<option value="{cast.domain.pk}" selected>' in from_domains.content.decode()
    assert b"selected" not in junk.content


def test_who_placed_a_hold_is_refused_its_release_in_the_form(staff, cast, mailbox):
    hold = hold_on(mailbox, cast.sam)

    response = release(staff, hold)

    refusal = "Somebody else than the person who placed a hold releases it."
    assert errors_of(response) == [f"Case 7: hello@alder.test: {refusal}"]
    assert "The case is closed." in response.content.decode()
    hold.refresh_from_db()
    assert hold.released_at is None


def test_second_person_releases_several_with_a_reason(second, cast, mailbox):
    holds = [hold_on(mailbox, cast.sam, matter) for matter in ("Case 7", "Case 8")]

    asked = act(second, "release", *holds, path=HOLDS)
    bare = release(second, *holds, reason=" ")
    done = release(second, *holds)

    assert b"Case 7: hello@alder.test, placed by sam@example.test" in asked.content
    assert bare.context["form"].errors == {"reason": ["This field is required."]}
    assert said(done) == ["Holds that are released now: 2."]
    tess = User.objects.get(email="tess@example.test")
    found = set(Hold.objects.values_list("released_by", "release_reason"))
    assert found == {(tess.pk, "The case is closed.")}
    assert sorted(facts("hold.released")) == [("Case 7", tess.email), ("Case 8", tess.email)]
    assert Hold.objects.count() == 2
    holding.refuse_if_held(mailbox)


def test_staff_see_which_program_placed_a_hold_and_release_it(second, cast, mailbox):
    key = make_key(cast.reseller).api_key
    hold = Hold.objects.create(
        mailbox=mailbox, matter="Case 9", reason="Court", placed_by_key=key, placed_at=AT
    )

    page = second.get(HOLDS).content.decode()
    done = release(second, hold)

    assert str(key) in page
    assert said(done) == ["Holds that are released now: 1."]
    header, line = lines_of(second.get(f"{HOLDS}export/"))
    row = dict(zip(header, line, strict=True))
    assert row["placed_by_key__uuid"] == str(key.uuid)
    assert row["released_by__email"] == "tess@example.test"


def test_all_that_were_chosen_are_released_or_none(second, cast, mailbox):
    theirs = hold_on(mailbox, cast.sam)
    own = hold_on(mailbox, User.objects.get(email="tess@example.test"), "Case 8")
    done = hold_on(mailbox, cast.sam, "Case 9")
    release(second, done)

    response = release(second, theirs, own, done)

    assert [error.partition(":")[0] for error in errors_of(response)] == ["Case 9", "Case 8"]
    theirs.refresh_from_db()
    assert theirs.released_at is None
    assert len(facts("hold.released")) == 1


def test_superuser_neither_edits_nor_deletes_a_hold(staff, cast, mailbox):
    hold = hold_on(mailbox, cast.sam)

    for what in ("change", "delete"):
        assert staff.post(f"{HOLDS}{hold.pk}/{what}/", {"matter": "x"}).status_code == 403
    act(staff, "delete_selected", hold, path=HOLDS, post="yes")

    assert Hold.objects.get().matter == "Case 7"


def test_page_of_a_hold_offers_its_release_until_it_is_released(second, cast, mailbox):
    hold = hold_on(mailbox, cast.sam)
    page = f"{HOLDS}{hold.pk}/change/"

    assert second.get(page).context["row_actions"] == [("release", "Release …")]
    release(second, hold)
    assert second.get(page).context["row_actions"] == []
    assert "The case is closed." in second.get(page).content.decode()


def test_support_sees_holds_and_neither_places_nor_releases_any(cast, mailbox):
    hold = hold_on(mailbox, cast.alice)
    client = in_role(cast.sam, "support")

    page = client.get(f"{HOLDS}{hold.pk}/change/")
    release(client, hold)

    assert page.context["row_actions"] == []
    assert place(client, mailboxes=mailbox.pk).status_code == 403
    assert client.get(f"{HOLDS}add/").status_code == 403
    assert b'value="hold"' not in client.get(MAILBOXES).content
    assert Hold.objects.filter(released_at=None).count() == 1


def test_holds_are_found_by_state_and_scope_and_exported(second, cast, mailbox):
    hold_on(mailbox, cast.sam)
    released = hold_on(mailbox, cast.sam, "Case 8")
    release(second, released)
    Hold.objects.create(
        organisation=cast.reseller, matter="x", reason="y", placed_by=cast.sam, placed_at=AT
    )
    Hold.objects.create(
        domain=cast.domain, matter="z", reason="y", placed_by=cast.sam, placed_at=AT
    )

    def matters(**query):
        return [hold.matter for hold in second.get(HOLDS, query).context["cl"].result_list]

    assert matters(state="standing") == ["z", "x", "Case 7"]
    assert matters(state="released") == ["Case 8"]
    assert matters(q="rowan") == ["x"]
    assert "Rowan and all below" in second.get(HOLDS).content.decode()
    assert "all of alder.test" in second.get(HOLDS).content.decode()
    header, *lines = lines_of(second.get(f"{HOLDS}export/"))
    assert len(lines) == 4
    assert dict(zip(header, lines[2], strict=True))["release_reason"] == "The case is closed."


@pytest.mark.parametrize("count", [1, 3])
def test_list_of_holds_takes_as_many_queries_for_one_as_for_many(staff, cast, count):
    for number in range(count):
        domain = make_domain(f"d{number}.test", cast.customer)
        hold_on(make_mailbox(domain), cast.sam)

    # The session, the user, the device, and the holds with whatever they name.
    with CaptureQueriesContext(connection) as queries:
        staff.get(HOLDS)
    assert len(queries) == 4
