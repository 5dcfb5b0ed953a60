"""What integrators read about the API."""

from __future__ import annotations

import pytest
from django.urls import reverse

from hosting import reference
from hosting.problem_kinds import KINDS

pytestmark = pytest.mark.django_db


@pytest.fixture
def _window(cast):
    """A house with plans on sale."""


def test_the_reference_leads_to_each_group_and_names_each_problem(client):
    page = client.get(reverse("reference:home")).text

    for slug in reference.groups():
        assert reverse("reference:group", args=[slug]) in page
    for code in KINDS:
        assert f'id="problem-{code}"' in page


@pytest.mark.parametrize("slug", sorted(reference.groups()))
def test_every_operation_of_a_group_is_shown(slug, client, django_assert_num_queries):
    with django_assert_num_queries(0):
        page = client.get(reverse("reference:group", args=[slug])).text

    for operation in reference.groups()[slug].operations:
        assert f'id="{operation.id}"' in page


def test_fields_say_where_they_stand_and_what_they_are():
    (create,) = [
        each for each in reference.groups()["mailboxes"].operations if each.id == "create_mailbox"
    ]

    found = {(each.name, each.depth): each for each in create.body}
    assert found["domain_id", 0].type == "id dom_…"
    assert (found["local_part", 0].is_required, found["label", 0].is_required) == (True, False)
    assert found["label", 1].is_required
    assert ("used_bytes", 1) in {(each.name, each.depth) for each in create.answer}


def test_a_group_that_is_not_there_is_not_found(client):
    assert client.get(reverse("reference:group", args=["fish"])).status_code == 404


@pytest.mark.usefixtures("_window")
def test_the_quick_start_names_a_plan_that_is_on_sale(client):
    assert '\\"plan\\": \\"imap\\"' in client.get(reverse("reference:quick_start")).text


def test_the_document_itself_is_served(client):
    answer = client.get(reverse("reference:document"))

    assert answer.content == reference.PATH.read_bytes()
