"""What must not change, or no bill could be computed again."""

from __future__ import annotations

import pytest
from django.db import DatabaseError, connection, connections, transaction

from accounts.models import Organisation
from hosting import invoicing, settled
from hosting.models import Invoice
from tests.factories import make_mailbox
from tests.hosting.billing_rows import ACTOR, CLOSED_AT, OCTOBER, make_profile, sold

pytestmark = pytest.mark.django_db(databases="__all__")


def refused(change):
    with pytest.raises(DatabaseError, match="settled"), transaction.atomic():
        change()


@pytest.mark.parametrize("who", ["customer", "reseller"])
@pytest.mark.parametrize("change", ["parent", "kind"])
def test_who_has_bought_stays_where_it_is_billed(cast, who, change):
    sold(cast.domain, "a", "pop")
    kinds, other = (
        Organisation.Kind,
        Organisation.objects.create(kind="reseller", name="Hazel", parent=cast.provider),
    )
    organisation = getattr(cast, who)
    is_customer = organisation.kind == kinds.CUSTOMER
    value = {"parent": other, "kind": kinds.RESELLER if is_customer else kinds.CUSTOMER}[change]
    setattr(organisation, change, value)

    refused(organisation.save)
    refused(lambda: Organisation.objects.filter(pk=organisation.pk).update(**{change: value}))

    organisation.refresh_from_db()
    organisation.name = "A new name"
    organisation.save()


def test_who_has_bought_nothing_can_still_be_put_below_another_seller(cast):
    make_mailbox(cast.other_domain)

    Organisation.objects.filter(pk=cast.customer.pk).update(parent=cast.provider)

    assert Organisation.objects.get(pk=cast.customer.pk).parent == cast.provider


def test_a_mailbox_that_was_sold_stays_with_its_organisation(cast):
    mailbox = make_mailbox(cast.domain)
    mailbox.organisation = cast.other_customer

    refused(mailbox.save)
    mailbox.refresh_from_db()
    mailbox.label = "Front desk"
    mailbox.save()


def test_old_bills_of_resellers_verify_whatever_is_tried(cast):
    for organisation in (cast.provider, cast.reseller):
        make_profile(organisation)
    sold(cast.domain, "a", "pop")
    invoicing.close_month(actor=ACTOR, period=OCTOBER, at=CLOSED_AT)
    refused(lambda: Organisation.objects.filter(parent=cast.reseller).update(parent=cast.provider))

    assert [invoicing.verify(each) for each in Invoice.objects.all()] == [[], []]


def test_a_trigger_that_a_migration_lost_is_made_again(cast):
    mailbox = make_mailbox(cast.domain)
    with connection.cursor() as cursor:
        table = "" if connection.vendor == "sqlite" else "ON mailstore_mailbox"
        cursor.execute(f"DROP TRIGGER hosting_owner_stays {table}")
    mailbox.organisation = cast.other_customer
    settled.hold()

    refused(mailbox.save)


def test_it_may_be_held_twice_and_where_nothing_is_sold(cast):
    for alias in [*connections, *connections]:
        settled.hold(using=alias)
    mailbox = make_mailbox(cast.domain)
    mailbox.organisation = cast.other_customer

    refused(mailbox.save)
