"""What holds for every thing that an address names: its version, its place and its clock."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.test import RequestFactory

from accounts import inviting
from accounts.models import ApiKey, Event, Membership, Organisation
from hosting import clocks, models, public_ids
from hosting.api.contract import Answer, operation
from hosting.api.endpoint import Endpoint
from mailstore import cooling, credentials, holding
from mailstore.models import PurgeRun, RestoreRun, RetentionRule
from tests.factories import AT, make_mailbox, make_member
from tests.hosting.api.caller import Caller, make_key
from tests.hosting.api.test_matrix import OF_THINGS, ROUTES, path_of, send, undone
from tests.hosting.billing_rows import ACTOR
from tests.hosting.simulated import make_test_customer, make_test_mailbox

pytestmark = pytest.mark.django_db(databases=["default", "reports"])

# Keys and receivers belong to the real world, whosever they are.
LIVES_IN_THE_REAL_WORLD = {"whe", "whd", "key"}
# Lists and files are for keys of the organisation that asked, which is not the test one here.
OF_ASKERS = {"imp", "exp"}
THERE = timedelta(days=300)


@pytest.fixture(autouse=True)
def _laptop(settings):
    settings.ALLOW_PRIVATE_WEBHOOKS = True


def creations(cast):
    organisation, domain = (
        public_ids.encode("org", cast.customer.uuid),
        public_ids.encode("dom", cast.domain.uuid),
    )
    hold = {"domain_id": domain, "matter": "Case 7", "reason": "x"}
    return {
        "create_api_key": {"label": "Till", "scopes": ["mailboxes:read"]},
        "create_app_password": {"label": "Phone"},
        "create_import": {"kind": "mailboxes", "csv": "address,plan\nlisted@alder.test,imap\n"},
        "create_domain": {"organisation_id": organisation, "name": "oak.test"},
        "create_invitation": {"email": "dora@example.test", "role": "admin"},
        "create_mailbox": {"domain_id": domain, "local_part": "new", "plan": "imap"},
        "create_organisation": {"name": "Ash"},
        "create_webhook_endpoint": {"url": "http://127.0.0.1:9/"},
        "place_hold": hold,
        "rotate_api_key": {},
    }


def test_whatever_is_made_says_where_it_lies_and_which_version_it_is(cast, rita):
    """And the version is the one with which it is read there, so that it can be changed at once."""
    mailbox = make_mailbox(cast.domain)
    ids = {
        "org": public_ids.encode("org", cast.customer.uuid),
        "mbx": public_ids.encode("mbx", mailbox.uuid),
        "key": public_ids.encode("key", make_key(cast.reseller).api_key.uuid),
    }
    bodies, wrong = creations(cast), []
    making = [route for route in ROUTES if route.promise.status == 201]
    for route in making:
        made = rita.post(path_of(route, ids), bodies[route.promise.name])
        read = rita.get(made.headers.get("Location", "").removeprefix("/api/v1"))
        etags = made.headers.get("ETag"), read.headers.get("ETag")
        if (made.status_code, read.status_code) != (201, 200) or etags != (etags[0], etags[0]):
            wrong.append((str(route), made.status_code, read.status_code, etags))

    assert wrong == []
    assert {route.promise.name for route in making} == set(bodies)


@pytest.fixture
def trial(cast):
    """A test organisation whose clock is far from the real time."""
    trial = make_test_customer(cast.reseller)
    make_member("trial@example.test", trial, "owner")
    models.TestClock.objects.create(organisation=trial, now=trial.created_at + THERE)
    return trial


@pytest.fixture
def ids(cast, trial, twin):
    mailbox = make_test_mailbox(trial)
    twin.know(mailbox.address)
    planned = {"planned_at": AT, "planned_by": "x"}
    member = make_member("ann@example.test", trial, "billing")
    found = {
        "org": trial,
        "mbx": mailbox,
        "dom": mailbox.domain,
        "pwd": credentials.issue(actor=ACTOR, mailbox=mailbox, label="x", at=AT).app_password,
        "mem": Membership.objects.get(user=member),
        "ivt": inviting.invite(
            actor=ACTOR, organisation=trial, email="x@example.test", role="admin", at=AT
        ),
        "chg": cooling.ask_to_empty_store(
            actor=ACTOR, mailbox=mailbox, until=AT, wait=THERE, at=AT
        ),
        "hld": holding.place(
            actor=ACTOR,
            by=key_of(trial, cast.alice).api_key,
            scope=make_test_mailbox(trial, "held"),
            matter="x",
            reason="x",
            at=AT,
        ),
        "prg": PurgeRun.objects.create(mailbox=mailbox, kind="store", **planned),
        "rst": RestoreRun.objects.create(mailbox=mailbox, **planned),
        "rtp": RetentionRule.objects.create(mailbox=mailbox, folder="Junk", days=90),
    }
    return {prefix: public_ids.encode(prefix, thing.uuid) for prefix, thing in found.items()}


def test_whatever_is_done_in_a_test_organisation_is_done_at_its_clocks_moment(
    cast, trial, ids, counts
):
    there = clocks.now_for(trial)
    caller = Caller(key_of(cast.reseller, cast.rita).secret)
    told, wrong = set(), []
    for route in OF_THINGS:
        kinds = {kind for kind, _ in route.ids}
        if route.method == "get" or (LIVES_IN_THE_REAL_WORLD | OF_ASKERS) & kinds:
            continue
        for moment in undone(lambda route=route: moments_of(caller, route, ids)):
            told.add(route.promise.name)
            if moment != there:
                wrong.append((str(route), moment))
        counts(calls=1)

    assert wrong == []
    # The others are refused in the state in which this organisation is.
    assert told >= TELLING


# Each of these is done here, and so has something to tell.
TELLING = {
    "advance_test_clock",
    "call_off_pending_change",
    "cancel_purge_run",
    "change_plan",
    "close_mailbox",
    "create_app_password",
    "create_invitation",
    "delete_mailbox",
    "delete_retention_rule",
    "end_sessions",
    "release_hold",
    "remove_member",
    "revoke_app_password",
    "suspend_mailbox",
    "suspend_organisation",
    "update_app_password",
    "update_mailbox",
    "update_member",
    "update_organisation",
    "update_sign_in",
    "withdraw_invitation",
}


def key_of(organisation, person):
    """A key for testing that a person made: who placed a hold and who releases it are two."""
    made = make_key(organisation, is_test=True)
    ApiKey.objects.filter(pk=made.api_key.pk).update(created_by=person)
    made.api_key.refresh_from_db()
    return made


def moments_of(caller, route, ids):
    last = Event.objects.order_by("-seq").values_list("seq", flat=True).first() or 0
    send(caller, route, ids)
    return list(Event.objects.filter(seq__gt=last).values_list("at", flat=True))


class Forgetful(Endpoint):
    """An operation about a thing whose handler looks at no version."""

    @operation(name="forget", scope=None)
    def post(self, call, *, organisation):
        Organisation.objects.update(name="Changed")
        return Answer(document={})


def test_a_handler_that_forgets_to_ask_for_the_version_fails_and_changes_nothing(cast):
    secret = make_key(cast.reseller).secret
    request = RequestFactory().post(
        "/", "", content_type="application/json", headers={"authorization": f"Bearer {secret}"}
    )

    answer = Forgetful.as_view()(request, organisation=cast.customer.uuid)

    assert answer.status_code == 500
    assert not Organisation.objects.filter(name="Changed").exists()
