"""The pages of a customer with five hundred mailboxes, beside the shortest page with as many rows.

Both are given to the application as a web server does it, in this one process, turn by turn. The
reference is a view without any middleware, with a table of plain texts.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.db import connection
from django.http import HttpRequest, HttpResponse
from django.template import engines
from django.test import Client, RequestFactory
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from bench import house
from bench.report import Row
from mailstore.models import Mailbox

MAILBOXES, PAGE = 500, 50
MOST_STATEMENTS, MOST_CPU_MS, MOST_FIRST_LOAD_KB = 8, 25, 100
_CALLS = 40
_BROWSER = {"host": "localhost", "accept-encoding": "gzip, deflate, br"}
_ROWS = {"hx-request": "true"}
# What a browser fetches by itself when it shows a page.
_PARTS = re.compile(r"<(?:link|script|img)[^>]*?(?:href|src)=\"(/[^\"]+)\"")
_PLAIN = """<!doctype html><title>Mailboxes</title><table>{% for row in rows %}
<tr><td>{{ row.address }}<td>{{ row.protocol }}<td>{{ row.quota_bytes }}<td>{{ row.state }}
{% endfor %}</table>"""


def measure() -> list[Row]:
    client = _customer()
    last = Mailbox.objects.order_by("address").values_list("address", flat=True)
    after = list(last)[-PAGE - 1]
    pages: dict[str, tuple[str, dict[str, str]]] = {
        "overview": ("/overview/", {}),
        "mailbox list, last page": (f"/overview/?after={after}", {}),
        "mailbox list, searched": ("/overview/?q=info&protocol=imap&sort=fullest", _ROWS),
    }
    rows: list[Row] = []
    for name, (path, headers) in pages.items():
        rows += _page_rows(name, lambda: _get(client, path, headers))  # noqa: B023
    return [*rows, *_first_load(client)]


def _customer() -> Client:
    """Alice's company with its mailboxes, and a browser in which she has signed in."""
    from tests.hosting.crowd import fill  # noqa: PLC0415  # It reads the settings.

    # How fast it is, not how often one may ask, is the question.
    settings.RATE_LIMIT_PAGES_PER_MINUTE = 10**9
    cast = house.cast()
    fill(cast.domain, MAILBOXES, now=timezone.now())
    client = Client(headers=_BROWSER)
    client.force_login(cast.alice)
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("VACUUM ANALYZE")
    return client


def _get(client: Client, path: str, headers: dict[str, str]) -> Any:
    response = client.get(path, headers=headers)
    if response.status_code != 200:
        message = f"{path} answered {response.status_code}"
        raise RuntimeError(message)
    return response


def _page_rows(name: str, get: Callable[[], Any]) -> list[Row]:
    get()
    with CaptureQueriesContext(connection) as captured:
        get()
    # The next request begins the list of them anew.
    statements = len(captured)
    ours, plain = house.alternated(lambda: _cpu_ms(get), lambda: _cpu_ms(_plain_page))
    common = {"bench": "pages", "is_ceiling": True}
    return [
        Row(
            name=f"{name}: SQL statements",
            value=statements,
            unit="",
            reference=MOST_STATEMENTS,
            aim=1.0,
            **common,
        ),
        Row(
            name=f"{name}: CPU",
            value=ours,
            unit="ms",
            reference=MOST_CPU_MS,
            aim=1.0,
            **common,
        ),
        Row(
            name=f"{name}: CPU beside a plain page",
            value=ours,
            unit="ms",
            reference=plain,
            **common,
        ),
    ]


def _cpu_ms(work: Callable[[], Any]) -> float:
    """What one call computes, on average of many."""
    begin = time.process_time()
    for _ in range(_CALLS):
        work()
    return (time.process_time() - begin) * 1000 / _CALLS


def _plain_page() -> None:
    _plain_view(RequestFactory().get("/"))


_template = engines["django"].from_string(_PLAIN)


def _plain_view(request: HttpRequest) -> HttpResponse:
    rows = Mailbox.objects.order_by("address").only("address", "protocol", "quota_bytes", "state")
    return HttpResponse(_template.render({"rows": rows[:PAGE]}, request))


def _first_load(client: Client) -> list[Row]:
    """Bytes of the overview and of all that a browser fetches with it, as they are sent."""
    plain = client.get("/overview/", headers={"accept-encoding": "identity"})
    parts = sorted(set(_PARTS.findall(plain.content.decode())))
    sent = {"the page": len(client.get("/overview/").content)}
    bare = len(plain.content)
    for part in parts:
        sent[part] = _length(client.get(part))
        bare += _length(client.get(part, headers={"accept-encoding": "identity"}))
    common = {"bench": "pages", "unit": "kB", "is_ceiling": True}
    return [
        Row(
            name=f"first load of the overview, {len(sent)} requests",
            value=sum(sent.values()) / 1000,
            reference=MOST_FIRST_LOAD_KB,
            aim=1.0,
            **common,
        ),
        Row(
            name="the same beside what it is uncompressed",
            value=sum(sent.values()) / 1000,
            reference=bare / 1000,
            **common,
        ),
    ]


def _length(response: Any) -> int:
    return sum(len(part) for part in response)
