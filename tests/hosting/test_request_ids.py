"""The id of an answer, in every line that is logged for it."""

from __future__ import annotations

import logging

import pytest
from django.urls import include, path
from gunicorn.glogging import SafeAtoms

from hosting import discretion, log_lines, request_ids
from hosting.api.endpoint import Endpoint
from hosting.serving import gunicorn
from tests.hosting.api.caller import Caller

pytestmark = pytest.mark.django_db(databases=["default", "reports"])


class Failing(Endpoint):
    """Fails in a way that nobody foresaw."""

    authentication_classes = ()

    def initial(self, request, *args, **kwargs):
        message = "a failure"
        raise RuntimeError(message)


urlpatterns = [path("api/v1/fails", Failing.as_view()), path("", include("hosting.urls"))]
handler500 = "hosting.views.errors.server_error"


@pytest.fixture
def lines():
    """What the console would show, as it is configured."""
    handler = Lines()
    handler.addFilter(request_ids.RequestIds())
    form = log_lines.LOGGING["formatters"]["line"]
    handler.setFormatter(discretion.Formatter(form["format"], style=form["style"]))
    logging.getLogger().addHandler(handler)
    yield handler.shown
    logging.getLogger().removeHandler(handler)


class Lines(logging.Handler):
    def __init__(self):
        super().__init__()
        self.shown = []

    def emit(self, record):
        self.shown.append(self.format(record))


def test_the_console_is_told_of_requests():
    assert log_lines.LOGGING["handlers"]["console"]["filters"] == ["request_ids"]
    assert log_lines.LOGGING["filters"] == {"request_ids": {"()": "hosting.request_ids.RequestIds"}}


def test_a_failure_is_logged_with_the_id_of_its_answer(lines, settings):
    settings.ROOT_URLCONF = __name__

    answers = [Caller().get("/fails") for _each in range(2)]

    for answer in answers:
        assert (answer.status_code, answer.json()["code"]) == (500, "internal-error")
        own = [each for each in lines if f" {answer.headers['Request-Id']} " in each]
        assert any("ERROR" in each and "a failure" in each for each in own)


def test_what_django_says_of_a_refusal_bears_its_id(lines):
    answer = Caller().get("/nowhere")

    [line] = [each for each in lines if "django.request" in each]
    assert f" WARNING {answer.headers['Request-Id']} django.request: Not Found" in line


def test_what_belongs_to_no_request_says_so(lines):
    logging.getLogger("hosting.sweep").warning("Nothing to do")

    assert lines[-1].endswith(" WARNING - hosting.sweep: Nothing to do")


def test_the_web_server_logs_the_id_of_the_answer():
    atoms = dict.fromkeys("hlutrsbfa", "x")

    told = gunicorn.access_log_format % SafeAtoms({**atoms, "{request-id}o": "req_1"})
    of_a_page = gunicorn.access_log_format % SafeAtoms(atoms)

    assert told.endswith(" req_1")
    assert of_a_page.endswith(" -")
