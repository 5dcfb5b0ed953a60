"""What will end says so on every answer, and in the OpenAPI document."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from django.urls import include, path

from hosting.api import schema
from hosting.api.contract import Answer, Call, operation
from hosting.api.endpoint import Endpoint
from hosting.api.plans import PlanDocument
from hosting.api.schema import EndpointSchema
from tests.hosting.api.caller import Caller, make_key

pytestmark = pytest.mark.django_db(databases=["default", "reports"])

SINCE, END = datetime(2026, 11, 1, tzinfo=UTC), datetime(2027, 11, 1, tzinfo=UTC)


class Old(Endpoint):
    """Something that will end."""

    @operation(
        name="get_old",
        scope="mailboxes:read",
        gives=PlanDocument,
        deprecated_at=SINCE,
        sunset_at=END,
    )
    def get(self, call: Call) -> Answer:
        """Show something."""
        return Answer(document={"is_test": call.api_key.is_test})

    @operation(name="make_old", scope="mailboxes:write", gives=PlanDocument, deprecated_at=SINCE)
    def post(self, call: Call) -> Answer:
        """Make something."""
        return Answer(document={"is_test": call.api_key.is_test})


urlpatterns = [path("api/v1/old", Old.as_view()), path("", include("hosting.urls"))]


@pytest.fixture(autouse=True)
def _with_old(settings):
    settings.ROOT_URLCONF = __name__


@pytest.mark.parametrize(
    ("scope", "query", "status"),
    [("mailboxes:read", "", 200), ("mailboxes:read", "?x=1", 400), ("usage:read", "", 403)],
)
def test_every_answer_of_what_ends_says_since_when_and_until(scope, query, status, cast):
    answer = Caller(make_key(cast.reseller, scope).secret).get(f"/old{query}")

    assert answer.status_code == status
    assert answer.headers["Deprecation"] == "@1793491200"
    assert answer.headers["Sunset"] == "Mon, 01 Nov 2027 00:00:00 GMT"
    assert answer.headers["Link"] == '</api/reference>; rel="deprecation"; type="text/html"'


def test_an_end_that_is_not_known_is_not_told(cast):
    answer = Caller(make_key(cast.reseller).secret).post("/old")

    assert answer.status_code == 200
    assert answer.headers["Deprecation"] == "@1793491200"
    assert "Sunset" not in answer.headers


def test_what_goes_on_says_nothing(cast):
    answer = Caller(make_key(cast.reseller).secret).get("/plans")

    assert not {"Deprecation", "Sunset", "Link"} & set(answer.headers)


def test_the_document_says_so_too(monkeypatch):
    monkeypatch.setattr(Old, "schema", EndpointSchema(), raising=False)
    made = schema.SchemaGenerator(patterns=urlpatterns[:1]).get_schema(public=True)

    [methods] = made["paths"].values()
    assert methods["get"]["deprecated"]
    assert methods["get"]["description"].endswith("since 2026-11-01 and ends on 2027-11-01.")
    assert methods["post"]["description"].endswith("since 2026-11-01.")
    assert not any("deprecated" in each for each in operations_of_the_api())


def operations_of_the_api():
    return [each for methods in schema.document()["paths"].values() for each in methods.values()]
