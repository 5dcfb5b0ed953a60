"""The clock of a test organisation, so that an integrator sees a month's bill in a second."""

from __future__ import annotations

from typing import Literal, TypedDict
from uuid import UUID

from django.utils import timezone

from accounts.models import Organisation
from hosting import public_ids, test_clock
from hosting.api import operations, organisations, versions
from hosting.api.contract import Answer, Call, operation
from hosting.api.endpoint import Endpoint
from hosting.api.fields import Body, Whole
from hosting.api.fields import Moment as MomentField
from hosting.api.moments import Moment
from hosting.api.problems import invalid, not_found

_MOST_SECONDS = int(test_clock.MOST.total_seconds())


class TestClockDocument(TypedDict):
    """Where the clock stands; time goes on only when it is advanced."""

    object: Literal["test_clock"]
    id: str
    organisation_id: str
    now: Moment


class AdvanceBody(Body):
    """To which moment, or by how many seconds: one of the two."""

    to = MomentField(required=False)
    by_seconds = Whole(min_value=1, max_value=_MOST_SECONDS, required=False)


class TestClocks(Endpoint):
    """The clock of one test organisation."""

    @operation(name="get_test_clock", scope="organisations:read", gives=TestClockDocument)
    def get(self, call: Call, *, organisation: UUID) -> Answer:
        """Show where the clock of a test organisation stands."""
        found = organisations.load(call, organisation)
        _refuse_live(found)
        document = _document(call, found)
        return Answer(document=document, etag=versions.etag(document))


class ClockAdvances(Endpoint):
    """Letting a clock go on."""

    @operation(
        name="advance_test_clock",
        scope="organisations:write",
        takes=AdvanceBody,
        gives=operations.OperationDocument,
        status=202,
        problems=("wrong-state",),
    )
    def post(self, call: Call, *, organisation: UUID) -> Answer:
        """Let the clock go on, and all that falls due until then happen.

        Months that end are billed, late payers are reminded, changes that waited are made. At most
        62 days at once.
        """
        found = organisations.ORGANISATION.locked(
            call,
            organisation,
            first=_refuse_live,
            version=lambda *those: versions.etag(_document(*those)),
        )
        try:
            advance = test_clock.advance(
                actor=call.actor,
                organisation=found,
                to=call.asked.get("to"),
                seconds=call.asked.get("by_seconds"),
                at=timezone.now(),
            )
        except test_clock.AdvanceUnderWay:
            raise
        except test_clock.ClockRefused as refusal:
            raise invalid("/to", str(refusal)) from refusal
        document = operations.of_advance(advance)
        return Answer(document=document, location=f"/api/v1/operations/{document['id']}")


def _document(call: Call, organisation: Organisation) -> TestClockDocument:
    public_id = public_ids.encode("org", organisation.uuid)
    return {
        "object": "test_clock",
        "id": public_id,
        "organisation_id": public_id,
        "now": Moment(call.at),
    }


def _refuse_live(organisation: Organisation) -> None:
    """What lives by the real time has no clock of its own."""
    if not organisation.is_test:
        raise not_found()
