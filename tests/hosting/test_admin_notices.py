"""Staff see which letters the relay did not take, and send them again."""

from __future__ import annotations

import pytest

from accounts import notices
from accounts.models import Notice
from tests.factories import AT
from tests.staffing import act, ask_in_bulk, facts, lines_of

pytestmark = pytest.mark.django_db(databases="__all__")
NOTICES = "/staff/accounts/notice/"


@pytest.fixture
def letters(cast):
    context = {"reseller": "Rowan", "organisation": "Alder", "now_text": "All works."}
    letter = {"name": "dunning_below", "context": context, "created_at": AT}
    refused = Notice.objects.create(to="gone@example.test", failure="550 no", tries=3, **letter)
    Notice.objects.create(to="ann@example.test", sent_at=AT, **letter)
    Notice.objects.create(to="ben@example.test", **letter)
    return refused


@pytest.mark.parametrize(
    ("state", "people"),
    [
        ("failed", ["gone"]),
        ("sent", ["ann"]),
        ("waiting", ["ben"]),
        ("", ["ben", "ann", "gone"]),
    ],
)
def test_the_list_can_be_narrowed(staff, letters, state, people):
    found = staff.get(NOTICES, {"state": state}).context["cl"].result_list

    assert [each.to for each in found] == [f"{person}@example.test" for person in people]


def test_a_letter_is_shown_as_it_goes_out_and_why_it_did_not(staff, letters):
    text = staff.get(f"{NOTICES}{letters.pk}/change/").content.decode()

    subject, body = notices.written(letters)
    assert subject in text
    assert body.strip().splitlines()[-1] in text
    assert "550 no" in text
    assert 'value="send_again"' in text


def test_one_that_left_is_not_offered_to_be_sent_again(staff, letters):
    sent = Notice.objects.get(to="ann@example.test")

    assert 'value="send_again"' not in staff.get(f"{NOTICES}{sent.pk}/change/").content.decode()
    asked, page = ask_in_bulk(staff, "send_again", sent, path=NOTICES)
    assert asked.failed_count == 1
    assert "The relay has taken the letter to ann@example.test meanwhile." in str(page.content)


def test_sending_again_is_previewed_then_done(staff, letters):
    looked = act(staff, "send_again", letters, path=NOTICES)
    before = Notice.objects.get(pk=letters.pk).tries
    asked, _page = ask_in_bulk(staff, "send_again", letters, path=NOTICES)

    assert "the same address" in looked.content.decode()
    assert "550 no" in looked.content.decode()
    assert before == 3
    assert asked.done_count == 1
    assert Notice.objects.get(pk=letters.pk).tries == 0
    assert facts("notice.sent_again") == [("dunning_below → gone@example.test", "sam@example.test")]


def test_a_letter_that_cannot_be_written_has_a_page(staff, letters):
    Notice.objects.filter(pk=letters.pk).update(name="no_such_letter")

    page = staff.get(f"{NOTICES}{letters.pk}/change/")

    assert "It cannot be written" in page.content.decode()
    assert "TemplateDoesNotExist" in page.content.decode()


def test_the_list_can_be_taken_away(staff, letters):
    lines = lines_of(staff.get(f"{NOTICES}export/", {"state": "failed"}))

    assert [line[1] for line in lines] == ["to", "gone@example.test"]
