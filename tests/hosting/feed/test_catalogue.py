"""The catalogue beside what the code records: nothing is told that nobody asked for."""

from __future__ import annotations

import pytest

from hosting.dunning.deciding import Move
from hosting.feed import TYPES
from hosting.feed.catalogue import RECORDED_KINDS, type_of
from hosting.public_ids import KINDS
from tests.hosting.recorded_kinds import recorded_in_code

# What stays inside: affairs of people, of the house's price lists and books, and steps on the way
# to something that is told when it has happened.
INSIDE = {
    "access.begun",
    "access.ended",
    "limits.set",
    "member.joined",
    "api_key.rotated",
    "app_password.widened",
    "billing_profile.changed",
    "brand.changed",
    "brand.removed",
    "bulk.asked",
    "bulk.called_off",
    "bulk.confirmed",
    "bulk.expired",
    "bulk.finished",
    "change.asked",
    "change.shortened",
    "device.confirmed",
    "device.copies_kept",
    "device.locked_out",
    "domain.added",
    "domain.check_asked",
    "dunning.extended",
    "dunning.paused",
    "dunning.resumed",
    "invoice.partly_paid",
    "invoice.reopened",
    "invoice.written_off",
    "mailbox.looked_at",
    "mailbox.restore_planned",
    "mailbox.sessions_ended",
    "invitation.sent_again",
    "invitation.withdrawn",
    "member.added",
    "member.invited",
    "member.left",
    "member.removed",
    "member.role_changed",
    "organisation.created",
    "notice.sent_again",
    "organisation.updated",
    "organisation.app_passwords_required",
    "organisation.sign_in_default_changed",
    "organisation.unanswered",
    "overage.held",
    "overage.let_go",
    "overage.released",
    "panel_host.claimed",
    "panel_host.given_up",
    "panel_host.lost",
    "panel_host.taken_away",
    "panel_host.verified",
    "payment.received",
    "payment.refund_failed",
    "payment.refunded",
    "payment.taken_back",
    "plan.created",
    "plan.updated",
    "price.set",
    "price.withdrawn",
    "price_list.changed",
    "price_list.made_default",
    "purge.cancelled",
    "retention.policy_changed",
    "second_factor.added",
    "second_factor.code_used",
    "second_factor.codes_made",
    "second_factor.demand_ended",
    "second_factor.demanded",
    "second_factor.loss_called_off",
    "second_factor.loss_done",
    "second_factor.loss_hastened",
    "second_factor.lost",
    "second_factor.removed",
    "second_factor.renamed",
    "spend_cap.set",
    "test_clock.advancing",
    "tripwire.answered",
    "user.address_change_asked",
    "user.address_change_called_off",
    "user.address_change_taken_back",
    "user.address_changed",
    "user.address_confirmed",
    "user.address_set",
    "user.created",
    "user.let_in_again",
    "user.password_changed",
    "user.password_set",
    "user.sessions_ended",
    "user.sessions_ended_by_staff",
    "user.shut_out",
    "user.signed_in_anew",
    "user.updated",
    "vat_rate.set",
    "webhook_delivery.sent_again",
    "webhook_endpoint.created",
    "webhook_endpoint.enabled",
    "webhook_endpoint.removed",
    "webhook_endpoint.secret_rotated",
    "webhook_endpoint.updated",
    *(f"dunning.{move}" for move in Move),
}


def told_of(kind):
    """The types under which a kind can be told."""
    examples = [
        {"moment": None},
        {"moment": "x"},
        {"percent": 50},
        {"percent": 100},
        *({"state": state} for state in ("active", "past_due", "suspended", "closed")),
    ]
    found = set()
    for facts in examples:
        try:
            found.add(type_of(kind, facts))
        except KeyError:
            continue
    return found - {None}


def test_every_kind_that_is_recorded_is_told_or_stays_inside_on_purpose():
    recorded = recorded_in_code() | {"ping"}

    assert {kind for kind in recorded if not told_of(kind)} == INSIDE & recorded
    assert INSIDE - recorded == {f"dunning.{move}" for move in Move}


def test_every_type_is_told_of_something_that_is_recorded():
    recorded = recorded_in_code() | {"ping"}

    assert {name for kind in recorded for name in told_of(kind)} == set(TYPES)


def test_every_kind_that_is_told_is_looked_for():
    recorded = recorded_in_code() | {"ping"}

    assert {kind for kind in recorded if told_of(kind)} <= RECORDED_KINDS


@pytest.mark.parametrize("name", TYPES)
def test_ids_have_prefixes_that_the_api_knows(name):
    about = TYPES[name]
    named = [*about.ids.values(), *([about.subject_as] if about.subject_as else [])]

    assert {about.prefix, *(each.prefix for each in named)} <= set(KINDS)


def test_change_of_the_switches_alone_is_not_told():
    assert type_of("organisation.standing_changed", {"state": "active", "was": "active"}) is None
