from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.sessions.backends.db import SessionStore
from django.core.files.uploadedfile import SimpleUploadedFile
from django.http import HttpResponse
from django.test import RequestFactory

from accounts import stepping_up, visits
from accounts.second_factor import authenticators
from tests.factories import AT
from tests.staffing import SECRET

SECOND = timedelta(seconds=1)


class Person:
    def __init__(self, *, verified):
        self.verified = verified

    def is_verified(self):
        return self.verified


@pytest.fixture
def request_of(db):
    def request_of(*, verified=True, path="/keys/new?x=1&y=2"):
        request = RequestFactory().get(path)
        request.session, request.user = SessionStore(), Person(verified=verified)
        return request

    return request_of


@pytest.mark.parametrize(
    ("later", "is_fresh"),
    [
        (timedelta(0), True),
        (timedelta(minutes=10) - SECOND, True),
        (timedelta(minutes=10), False),
        # A clock that was put back proves nothing.
        (-SECOND, False),
    ],
)
def test_a_second_factor_is_fresh_for_ten_minutes(request_of, later, is_fresh):
    request = request_of()
    stepping_up.note(request, at=AT)

    assert stepping_up.is_fresh(request, at=AT + later) is is_fresh


def test_whoever_never_proved_one_has_none(request_of):
    assert not stepping_up.is_fresh(request_of(), at=AT)


def test_a_device_that_is_gone_proves_nothing(request_of):
    request = request_of(verified=False)
    stepping_up.note(request, at=AT)

    assert not stepping_up.is_fresh(request, at=AT)


@stepping_up.needs_fresh_proof
def view(request, name):
    return HttpResponse(name)


@stepping_up.changes_need_fresh_proof
def shows_and_changes(request, name):
    return HttpResponse(name)


@pytest.fixture
def stale_request(request_of, cast):
    """Of somebody who proved nothing for a while."""

    def make(*, has_app, **kwargs):
        if has_app:
            authenticators.give(cast.alice, secret=SECRET)
        request = request_of(verified=False, **kwargs)
        request.user = cast.alice
        request.user.is_verified = lambda: has_app
        return request

    return make


@pytest.mark.parametrize(
    ("has_app", "where"),
    [(True, "/account/second-factor/"), (False, "/account/second-factor/password")],
)
def test_whoever_has_no_fresh_proof_is_led_to_it_and_back(stale_request, has_app, where):
    response = view(stale_request(has_app=has_app), "done")

    assert response.status_code == 302
    assert response.headers["Location"] == f"{where}?next=%2Fkeys%2Fnew%3Fx%3D1%26y%3D2"


def test_looking_asks_for_nothing_where_only_changes_matter(stale_request):
    assert shows_and_changes(stale_request(has_app=True), "done").content == b"done"


def test_a_password_proves_nothing_for_whoever_has_a_factor(stale_request, cast):
    request = stale_request(has_app=True)
    request.user.is_verified = lambda: False
    stepping_up.note_password(request, at=AT)

    assert not stepping_up.is_fresh(request, at=AT)


def test_a_fresh_password_is_enough_for_whoever_has_none(stale_request):
    request = stale_request(has_app=False)
    stepping_up.note_password(request, at=AT)

    assert stepping_up.is_fresh(request, at=AT)
    assert not stepping_up.is_fresh(request, at=AT + timedelta(minutes=11))


def sent(stale_request, fields, **more):
    request = stale_request(has_app=True)
    posted = RequestFactory().post("/keys/new?x=1", fields, **more)
    posted.session, posted.user = request.session, request.user
    return posted


def test_a_form_is_kept_without_secrets_and_files(stale_request):
    fields = {
        "label": ["a", "b"],
        "post_code": "1010",
        "new_password": "hunter2",
        "code": "123456",
        "csrfmiddlewaretoken": "x",
        "logo": SimpleUploadedFile("logo.png", b"picture"),
    }
    posted = sent(stale_request, fields)

    where = view(posted, "done").headers["Location"]
    key = where.rpartition("%2F")[2]
    kept = stepping_up.kept(posted, key)

    assert kept.path == "/keys/new?x=1"
    assert kept.fields == [("label", "a"), ("label", "b"), ("post_code", "1010")]
    assert not kept.is_whole


def test_a_form_is_offered_in_the_name_alone_in_which_it_was_filled_in(stale_request):
    posted = sent(stale_request, {"label": "a"})
    key = view(posted, "done").headers["Location"].rpartition("%2F")[2]

    posted.session[visits.SESSION_KEY] = "a visit that began meanwhile"
    assert stepping_up.kept(posted, key) is None
    del posted.session[visits.SESSION_KEY]

    assert stepping_up.kept(posted, key) is not None


def test_three_forms_are_kept_and_the_oldest_is_forgotten(stale_request):
    posted = sent(stale_request, {"label": "a"})
    answers = [view(posted, "done") for _ in range(4)]
    keys = [answer.headers["Location"].rpartition("%2F")[2] for answer in answers]

    assert [stepping_up.kept(posted, key) is None for key in keys] == [True, False, False, False]


def test_a_form_that_is_too_large_is_not_kept(stale_request):
    posted = sent(stale_request, {"text": "x" * 200_000}, HTTP_REFERER="http://testserver/keys/new")

    where = view(posted, "done").headers["Location"]

    assert where == "/account/second-factor/?next=%2Fkeys%2Fnew"


@pytest.mark.parametrize("said", ["http://evil.test/x", "//evil.test", "javascript:x", ""])
def test_nobody_is_led_to_another_host(stale_request, said):
    posted = sent(stale_request, {"text": "x" * 200_000}, HTTP_REFERER=said)

    assert view(posted, "done").headers["Location"].endswith("?next=%2Foverview%2F")


def test_a_fragment_leads_the_whole_page_to_the_proof(stale_request):
    posted = sent(stale_request, {"label": "a"}, HTTP_HX_REQUEST="true")

    response = view(posted, "done")

    assert response.status_code == 200
    assert response.headers["HX-Redirect"].startswith("/account/second-factor/?next=")
