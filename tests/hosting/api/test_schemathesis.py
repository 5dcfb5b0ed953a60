"""Schemathesis reads the OpenAPI document that is checked in, does what it says, and breaks it.

Cases are made of the document alone, the same in each run. Where one names something by id, every
other case gets the id of something that is there, or hardly anything behind the look-up would be
reached. What a case changed is undone before the next.
"""

from __future__ import annotations

import re
from collections import Counter

import pytest
import schemathesis
from django.core.wsgi import get_wsgi_application
from django.db import transaction
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.parameters import ParameterLocation
from schemathesis.specs.openapi import checks

from hosting import public_ids
from hosting.api import schema
from mailstore.models import Mailbox
from tests.hosting.api import test_matrix
from tests.hosting.api.caller import make_key

pytestmark = pytest.mark.django_db(databases=["default", "reports"])

# One of each thing that an address can name, and a laptop's settings.
ids, _laptop = test_matrix.ids, test_matrix._laptop

# Each case has a good key; `test_authentication` has the bad ones.
CONFIG = schemathesis.Config.from_dict({"generation": {"with-security-parameters": False}})
DOCUMENT = schemathesis.openapi.from_path(schema.PATH, config=CONFIG)
DOCUMENT.app = get_wsgi_application()
OPERATIONS = [found.ok() for found in DOCUMENT.get_all_operations()]
CHECKS = [
    not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_schema_conformance,
    checks.negative_data_rejection,
]
# Of these the document cannot say which texts are good.
UNGUESSABLE = {"cursor", "fields"}
SETTINGS = settings(
    max_examples=20,
    derandomize=True,
    database=None,
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture(autouse=True)
def _all_mailboxes(_laptop, ids, twin):
    for mailbox in Mailbox.objects.all():
        twin.know(mailbox.address)


def name_of(operation):
    return operation.definition.raw["operationId"]


def known(value, ids):
    """The same with ids of things that are there, and a plan that is on sale."""
    if isinstance(value, dict):
        named = {name: known(inner, ids) for name, inner in value.items()}
        return {**named, "plan": "imap"} if isinstance(value.get("plan"), str) else named
    if isinstance(value, list):
        return [known(inner, ids) for inner in value]
    if isinstance(value, str) and re.fullmatch(rf"[a-z]{{3}}_{public_ids.PATTERN}", value):
        return ids.get(value[:3], value)
    return value


def make_known(case, ids):
    """Let a case reach further, without mending what it breaks on purpose."""
    if case.query and not case.meta.is_negative_at(ParameterLocation.QUERY):
        guessed = {name: text for name, text in case.query.items() if name not in UNGUESSABLE}
        case.query = known(guessed, ids)
    if not case.meta.is_negative_at(ParameterLocation.PATH):
        case.path_parameters = known(case.path_parameters, ids)
    if not case.meta.is_negative_at(ParameterLocation.BODY):
        case.body = known(case.body, ids)
    if "If-Match" in case.headers and not case.meta.is_negative_at(ParameterLocation.HEADER):
        case.headers["If-Match"] = "*"


@pytest.mark.parametrize("operation", OPERATIONS, ids=name_of)
def test_what_the_document_says_holds_for_whatever_is_sent(operation, cast, ids, counts):
    key = make_key(cast.reseller).secret
    statuses = Counter()
    modes = st.one_of(*(operation.as_strategy(generation_mode=mode) for mode in GenerationMode))

    @SETTINGS
    @given(case=modes, is_known=st.booleans())
    def tried(case, is_known):
        if is_known:
            make_known(case, ids)
        with transaction.atomic():
            response = case.call(headers={"Authorization": f"Bearer {key}"})
            transaction.set_rollback(True)
        statuses[f"answers_{response.status_code // 100}xx"] += 1
        case.validate_response(response, checks=CHECKS)

    tried()

    assert not statuses["answers_5xx"]
    counts(operations=1, cases=statuses.total(), **statuses)
