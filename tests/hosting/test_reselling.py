"""Customers of a seller: opened, named, limited, stopped and let go on."""

from __future__ import annotations

from datetime import timedelta

import pytest

from accounts.access import Forbidden
from accounts.models import Event, Membership, Notice, Organisation, User
from hosting import clocks, opening, reselling
from hosting.models import BillingProfile, CustomerFigures, Limits, PriceList
from hosting.opening import Opening
from mailstore import standing
from mailstore.models import Domain, PendingChange, Restriction
from tests.factories import AT, make_member
from tests.hosting.billing_rows import make_list
from tests.hosting.crowd import make_sibling

pytestmark = pytest.mark.django_db(databases="__all__")


def opened(cast, user=None, **given):
    asked = {"reseller": cast.reseller, "name": "Hazel", "at": AT} | given
    return reselling.open_customer(actor=cast.actor(user or cast.rita), **asked)


def opened_with(cast, **given):
    return opening.open_with(
        actor=cast.actor(cast.rita),
        reseller=cast.reseller,
        opening=Opening(**{"name": "Hazel"} | given),
        at=AT,
    )


def kinds_of(organisation):
    return list(organisation.events.order_by("seq").values_list("kind", flat=True))


# Opening --------------------------------------------------------------------------------


def test_a_reseller_opens_a_customer(cast):
    customer = opened(cast, external_ref=" A-17 ")

    assert customer.parent == cast.reseller
    assert customer.kind == Organisation.Kind.CUSTOMER
    assert customer.external_ref == "A-17"
    assert kinds_of(customer) == ["organisation.created"]
    assert CustomerFigures.objects.filter(organisation=customer).exists()
    assert not Notice.objects.exists()


def test_the_owner_is_let_in_and_written_to(cast):
    customer = opened(cast, owner_email="Dora@Example.test")

    invitation = customer.invitations.get()
    assert (invitation.email, invitation.role) == ("dora@example.test", "owner")
    assert Notice.objects.get().name == "invitation"
    assert kinds_of(customer) == ["organisation.created", "member.invited"]


def test_somebody_who_is_here_already_is_asked_like_everybody(cast):
    customer = opened(cast, owner_email=cast.charlie.email)

    assert not customer.memberships.exists()
    assert customer.invitations.get().email == cast.charlie.email
    assert kinds_of(customer) == ["organisation.created", "member.invited"]


def test_a_resellers_admin_names_the_first_owner_and_no_other(cast):
    """Nothing of anybody's is in a customer that is being opened."""
    rob = make_member("rob@example.test", cast.reseller, Membership.Role.ADMIN)
    customer = opened(cast, rob, owner_email="dora@example.test")

    with pytest.raises(Forbidden):
        reselling.invite_owner(
            actor=cast.actor(rob), customer=customer, email="rob@example.test", at=AT
        )

    assert customer.invitations.get().email == "dora@example.test"


@pytest.mark.parametrize("person", ["alice", "bob", "charlie"])
def test_nobody_below_or_beside_opens_one(cast, person):
    with pytest.raises(Forbidden):
        opened(cast, getattr(cast, person))


@pytest.mark.parametrize("role", [Membership.Role.BILLING, Membership.Role.READ_ONLY])
def test_a_role_without_people_opens_none(cast, role):
    with pytest.raises(Forbidden):
        opened(cast, make_member("rob@example.test", cast.reseller, role))


def test_a_sibling_opens_none(cast):
    _reseller, sven = make_sibling(cast)

    with pytest.raises(Forbidden):
        opened(cast, sven)


def test_staff_open_one_below_the_house(cast):
    assert opened(cast, cast.sam, reseller=cast.provider).parent == cast.provider


def test_a_customer_has_no_customers(cast):
    with pytest.raises(reselling.Refused, match="has none itself"):
        opened(cast, cast.alice, reseller=cast.customer)


def test_a_customer_for_testing_begins_its_clock_when_it_is_opened(cast):
    trial = opened(cast, is_test=True)

    assert (trial.is_test, clocks.now_for(trial)) == (True, AT)


@pytest.mark.parametrize("state", ["suspended", "closed"])
def test_a_stopped_reseller_opens_none(cast, state):
    Organisation.objects.filter(pk=cast.reseller.pk).update(state=state)
    cast.reseller.refresh_from_db()

    with pytest.raises(reselling.Refused, match="is stopped"):
        opened(cast)


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": "  "}, "name"),
        ({"name": "x" * 121}, "name"),
        ({"name": "Ha\0zel"}, "name"),
        ({"name": "Ha\nzel"}, "name"),
        ({"name": "Hazel\u202e"}, "name"),
        ({"name": "Ha\u2028zel"}, "name"),
        ({"name": "\ud800"}, "name"),
        ({"external_ref": "y" * 121}, "external_ref"),
        ({"external_ref": "A\r\n17"}, "external_ref"),
        ({"owner_email": "nobody"}, "owner_email"),
        ({"owner_email": "a b@example.test"}, "owner_email"),
        ({"owner_email": f"{'a' * 60}@{'b.' * 120}test"}, "owner_email"),
    ],
)
def test_what_cannot_be_is_refused_with_its_field_and_leaves_nothing(cast, given, field):
    with pytest.raises(reselling.Refused) as refusal:
        opened(cast, **given)

    assert refusal.value.field == field
    assert Organisation.objects.filter(parent=cast.reseller).count() == 1
    assert not Notice.objects.exists()


def test_a_reference_is_one_customers_of_a_seller(cast):
    opened(cast, external_ref="A-17")
    reseller, sven = make_sibling(cast)

    with pytest.raises(reselling.RefTaken, match="A-17"):
        opened(cast, name="Ivy", external_ref="A-17")
    assert opened(cast, sven, reseller=reseller, external_ref="A-17").external_ref == "A-17"
    assert opened(cast, name="Ivy").external_ref == ""
    assert opened(cast, name="Oak").external_ref == ""


def test_an_owner_is_invited_again_by_the_same_invitation(cast):
    customer = opened(cast, owner_email="dora@example.test")

    reselling.invite_owner(
        actor=cast.actor(cast.rita), customer=customer, email="dora@example.test", at=AT
    )

    assert customer.invitations.get().serial == 2
    # The first letter had not left yet, and would lead nowhere.
    assert Notice.objects.count() == 1


# Opening with all that it begins with ---------------------------------------------------


def test_a_customer_begins_with_domain_limits_and_billing(cast):
    price_list = make_list(cast.reseller, currency="USD", imap=("3", 5, "0.2"))

    customer = opened_with(
        cast,
        domain="hazel.test",
        mailboxes=5,
        domains=2,
        stored_bytes=10**10,
        billing={"legal_name": "Hazel Ltd", "address": "Mill Lane 4", "country": "AT"},
        price_list=price_list,
    )

    limits = Limits.objects.get(organisation=customer)
    assert (limits.mailboxes, limits.domains, limits.stored_bytes) == (5, 2, 10**10)
    assert customer.domains.get().name == "hazel.test"
    assert BillingProfile.objects.get(organisation=customer).price_list == price_list


def test_without_limits_none_are_kept(cast):
    customer = opened_with(cast)

    limits = Limits.objects.get(organisation=customer)
    assert limits.mailboxes is limits.domains is limits.stored_bytes is None
    assert "limits.set" not in kinds_of(customer)


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"domain": "alder.test"}, "domain"),
        ({"domain": "no domain"}, "domain"),
        ({"domain": "hazel.test", "domains": 0}, "domain"),
        ({"mailboxes": -1}, "mailboxes"),
        ({"domains": 2**31}, "domains"),
        ({"stored_bytes": 10**19}, "stored_bytes"),
        ({"billing": {"legal_name": "x", "address": "", "country": "AT"}}, "address"),
        ({"billing": {"legal_name": "x", "address": "y", "country": "Austria"}}, "address"),
    ],
)
def test_a_customer_is_opened_whole_or_not_at_all(cast, given, field):
    with pytest.raises(reselling.Refused) as refusal:
        opened_with(cast, owner_email="dora@example.test", **given)

    assert refusal.value.field == field
    assert not Organisation.objects.filter(name="Hazel").exists()
    assert not User.objects.filter(email="dora@example.test").exists()
    assert not Domain.objects.filter(name="hazel.test").exists()


def test_a_price_list_for_resellers_is_refused(cast):
    wholesale = PriceList.objects.get(audience="wholesale", is_default=True)
    billing = {"legal_name": "x", "address": "y", "country": "AT"}

    with pytest.raises(reselling.Refused) as refusal:
        opened_with(cast, billing=billing, price_list=wholesale)

    assert refusal.value.field == "price_list"


# Naming and limiting --------------------------------------------------------------------


def rename(cast, user=None, **given):
    unchanged = {"customer": cast.customer, "name": "Alder", "external_ref": "", "at": AT}
    reselling.rename(actor=cast.actor(user or cast.rita), **unchanged | given)


def set_limits(cast, user=None, **given):
    asked = {"mailboxes": None, "domains": None, "stored_bytes": None, "at": AT} | given
    reselling.set_limits(actor=cast.actor(user or cast.rita), customer=cast.customer, **asked)


def test_a_new_name_leaves_what_others_changed_meanwhile(cast):
    """The page read the customer before somebody stopped it and gave it a reference."""
    same = Organisation.objects.select_related("parent__parent").get(pk=cast.customer.pk)
    rename(cast, external_ref="A-1")
    reselling.suspend(actor=cast.actor(cast.rita), customer=cast.customer, reason="x", at=AT)

    rename(cast, customer=same, name="Alder & Sons")

    same.refresh_from_db()
    assert (same.name, same.external_ref) == ("Alder & Sons", "A-1")
    assert (same.state, same.sign_in, same.sending) == ("suspended", "shut", "shut")


def test_a_new_name_and_reference_are_told(cast):
    rename(cast, name="Alder & Sons", external_ref="A-1")

    cast.customer.refresh_from_db()
    event = Event.objects.get(kind="organisation.updated")
    assert (cast.customer.name, cast.customer.external_ref) == ("Alder & Sons", "A-1")
    assert event.data == {
        "name": {"old": "Alder", "new": "Alder & Sons"},
        "external_ref": {"old": "", "new": "A-1"},
    }


def test_the_same_name_and_the_same_limits_say_nothing(cast):
    set_limits(cast, mailboxes=5)
    before = Event.objects.count()

    rename(cast)
    set_limits(cast, mailboxes=5)

    assert Event.objects.count() == before


def test_a_taken_reference_changes_nothing(cast):
    opened(cast, external_ref="A-17")

    with pytest.raises(reselling.RefTaken):
        rename(cast, name="Other", external_ref="A-17")

    assert Organisation.objects.filter(name="Alder").exists()


def test_limits_are_set_and_removed(cast):
    set_limits(cast, mailboxes=5, stored_bytes=10**9)
    set_limits(cast, stored_bytes=10**9)

    limits = Limits.objects.get(organisation=cast.customer)
    assert (limits.mailboxes, limits.stored_bytes) == (None, 10**9)
    assert [event.data for event in Event.objects.filter(kind="limits.set").order_by("seq")] == [
        {"mailboxes": {"old": None, "new": 5}, "stored_bytes": {"old": None, "new": 10**9}},
        {"mailboxes": {"old": 5, "new": None}},
    ]


def test_limits_leave_both_spend_caps_alone(cast):
    Limits.objects.create(organisation=cast.customer, spend_cap_minor=500, own_cap_minor=300)

    set_limits(cast, mailboxes=1)

    assert Limits.objects.get(organisation=cast.customer).cap_minor == 300


@pytest.mark.parametrize("person", ["alice", "bob", "charlie"])
def test_only_from_above_is_it_named_limited_or_stopped(cast, person):
    user, at = getattr(cast, person), AT

    with pytest.raises(Forbidden):
        rename(cast, user, name="Mine")
    with pytest.raises(Forbidden):
        set_limits(cast, user, mailboxes=9)
    with pytest.raises(Forbidden):
        reselling.suspend(actor=cast.actor(user), customer=cast.customer, reason="x", at=at)
    with pytest.raises(Forbidden):
        reselling.resume(actor=cast.actor(user), customer=cast.customer, reason="x", at=at)


def test_a_reseller_is_nobodys_customer(cast):
    with pytest.raises(reselling.Refused, match="is no customer"):
        reselling.rename(
            actor=cast.actor(cast.sam),
            customer=cast.reseller,
            name="x",
            external_ref="",
            at=AT,
        )


# Stopping -------------------------------------------------------------------------------


def suspend(cast, reason="Asked by telephone"):
    reselling.suspend(actor=cast.actor(cast.rita), customer=cast.customer, reason=reason, at=AT)


def test_a_suspended_customer_signs_in_no_more_and_still_receives(cast):
    suspend(cast)

    cast.customer.refresh_from_db()
    assert cast.customer.state == "suspended"
    assert cast.customer.sign_in == "shut"
    assert cast.customer.sending == "shut"
    assert cast.customer.receiving == "open"
    assert Restriction.objects.get().cause == Restriction.Cause.ABOVE


def test_resuming_takes_back_what_the_seller_stopped_and_no_more(cast):
    suspend(cast)
    standing.impose(
        actor=cast.actor(cast.sam),
        organisation=cast.customer,
        cause=Restriction.Cause.ABUSE,
        state=Restriction.State.SUSPENDED,
        stops={"sending": "shut"},
        reason="Spam",
        at=AT,
    )

    reselling.resume(actor=cast.actor(cast.rita), customer=cast.customer, reason="Paid", at=AT)

    cast.customer.refresh_from_db()
    assert cast.customer.sign_in == "open"
    assert cast.customer.sending == "shut"
    assert cast.customer.state == "suspended"


def test_a_seller_lifts_nothing_that_staff_stopped(cast):
    with pytest.raises(Forbidden):
        standing.lift(
            actor=cast.actor(cast.rita),
            organisation=cast.customer,
            cause=Restriction.Cause.ABUSE,
            reason="x",
            at=AT,
        )


def test_nothing_is_resumed_that_goes_on(cast):
    with pytest.raises(standing.Refused):
        reselling.resume(actor=cast.actor(cast.rita), customer=cast.customer, reason="x", at=AT)


def test_a_closed_customer_is_not_suspended(cast):
    Organisation.objects.filter(pk=cast.customer.pk).update(state="closed")
    cast.customer.refresh_from_db()

    with pytest.raises(standing.Refused, match="closed"):
        suspend(cast)


def test_closing_waits_and_is_taken_back(cast):
    actor = cast.actor(cast.rita)

    asked = reselling.close(actor=actor, customer=cast.customer, wait=timedelta(hours=72), at=AT)

    assert asked.effective_at == AT + timedelta(hours=72)
    assert PendingChange.objects.waiting().get() == asked
    with pytest.raises(standing.Refused):
        reselling.keep(actor=actor, customer=cast.customer, at=AT)


def test_a_closed_customer_is_kept(cast):
    standing.impose(
        actor=cast.actor(cast.sam),
        organisation=cast.customer,
        cause=Restriction.Cause.WISH,
        state=Restriction.State.CLOSED,
        stops={},
        reason="Asked",
        at=AT,
    )

    reselling.keep(actor=cast.actor(cast.rita), customer=cast.customer, at=AT)

    cast.customer.refresh_from_db()
    assert cast.customer.state == "active"
