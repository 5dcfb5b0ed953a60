from __future__ import annotations

import pytest
from django.http import HttpResponse
from django.test import RequestFactory

from accounts.middleware import ClientAddressMiddleware


@pytest.mark.parametrize(
    ("is_behind_proxy", "header", "address"),
    [
        (False, "198.51.100.9", "127.0.0.1"),
        (True, None, "127.0.0.1"),
        (True, "198.51.100.9", "198.51.100.9"),
        # The client wrote the first entry itself.
        (True, "203.0.113.1, 198.51.100.9", "198.51.100.9"),
        (True, "203.0.113.1,2001:DB8::1", "2001:db8::1"),
        (True, "::ffff:198.51.100.9", "198.51.100.9"),
        (True, "198.51.100.9, unknown", ""),
        (True, "198.51.100.9:4711", ""),
        (True, "198.51.100.9,", ""),
        (True, "", ""),
    ],
)
def test_the_proxy_says_from_where_a_request_comes(settings, is_behind_proxy, header, address):
    settings.IS_BEHIND_PROXY = is_behind_proxy
    headers = {} if header is None else {"X-Forwarded-For": header}
    request = RequestFactory().get("/", headers=headers)

    ClientAddressMiddleware(lambda _request: HttpResponse())(request)

    assert request.META["REMOTE_ADDR"] == address


@pytest.mark.django_db
@pytest.mark.parametrize("query", ["q=%00", "q=a%00b&state=all", "%00=1", "q=\0"])
def test_no_page_looks_up_a_null_character(query, client):
    refused = client.get("/", QUERY_STRING=query)

    assert refused.status_code == 400
    assert (
        client.get("/", QUERY_STRING=query.replace("%00", "%20").replace("\0", "0")).status_code
        == 200
    )
