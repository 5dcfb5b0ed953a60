"""Clients that take their time with the real web server: it goes on answering everybody else."""

from __future__ import annotations

import contextlib
import http.client
import socket
import statistics
import time

import pytest
from gunicorn.config import GracefulTimeout

from hosting.serving import worker

pytestmark = pytest.mark.django_db(transaction=True, databases="__all__")

# More than all threads of the panel, and more than it keeps waiting at once.
CROWD, THREADS = 450, 8
# Whoever had to wait for slow clients to be let go would wait for round after round of them, which
# takes far longer than this; a busy machine takes seconds.
LONGEST_SECONDS = 45


@pytest.fixture
def crowd(panel):
    """Opens connections to the panel that are gone after the test."""
    opened = []

    def open_one(*parts, port=panel.port, receive_buffer=0):
        line = socket.socket()
        if receive_buffer:
            line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        line.settimeout(LONGEST_SECONDS)
        opened.append(line)
        line.connect(("127.0.0.1", port))
        for part in parts:
            line.sendall(part)
        return line

    yield open_one
    for line in opened:
        line.close()


def head(*lines, method="POST", path="/account/sign-in"):
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", *lines, "", ""]).encode()


def answered(panel, path="/healthz", **headers):
    """The seconds until somebody else has an answer."""
    line = http.client.HTTPConnection("127.0.0.1", panel.port, timeout=LONGEST_SECONDS)
    begin = time.monotonic()
    line.request("GET", path, headers=headers)
    response = line.getresponse()
    response.read()
    line.close()
    assert response.status == 200
    return time.monotonic() - begin


@pytest.fixture
def usual(panel):
    """The seconds that answers usually take, on this machine and by now."""
    return statistics.median(answered(panel) for _ in range(20))


def status_of(line):
    """The status of the answer that comes on a connection, and whether it was closed then."""
    said = b""
    with contextlib.suppress(TimeoutError):
        while chunk := line.recv(65536):
            said += chunk
        return int(said.split(b" ", 2)[1]), True
    return int(said.split(b" ", 2)[1]), False


SLOW = {
    "silent": lambda: (),
    "half a line": lambda: (b"GET / HT",),
    "half a head": lambda: (b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-A: b\r\n",),
    "no body": lambda: (head("Content-Length: 5000"),),
    "half a body": lambda: (head("Content-Length: 5000"), b"x" * 100),
    "waits to be asked": lambda: (head("Content-Length: 5000", "Expect: 100-continue"),),
    "endless chunks": lambda: (head("Transfer-Encoding: chunked"), b"5\r\nhello\r\n"),
    "far too large": lambda: (head("Content-Length: 99999999999"), b"x" * 5000),
}


@pytest.mark.parametrize("kind", SLOW)
def test_slow_clients_hold_up_nobody_else(kind, panel, usual, crowd, counts):
    for _ in range(CROWD):
        crowd(*SLOW[kind]())

    seconds = [answered(panel) for _ in range(20)]

    counts(slow_clients=CROWD, answers_meanwhile=20)
    assert max(seconds) < LONGEST_SECONDS
    assert statistics.median(seconds) < 1 + 20 * usual


def test_clients_that_send_a_byte_now_and_then_hold_up_nobody_else(panel, crowd):
    lines = [crowd(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n") for _ in range(100)]
    seconds = []
    for byte in b"X-Slow: y":
        for line in lines:
            with contextlib.suppress(OSError):
                line.send(bytes([byte]))
        seconds.append(answered(panel))

    assert max(seconds) < LONGEST_SECONDS


def test_clients_that_never_read_hold_up_nobody_else(panel, crowd):
    request = head(method="GET", path="/static/css/pages.css")
    for _ in range(10 * THREADS):
        crowd(request, request, receive_buffer=1024)

    assert max(answered(panel) for _ in range(20)) < LONGEST_SECONDS


def test_clients_that_do_not_hang_up_hold_up_nobody_else(panel, usual, crowd):
    for _ in range(10 * THREADS):
        crowd(head("Connection: close", method="GET", path="/healthz"))

    assert statistics.median(answered(panel) for _ in range(20)) < 0.5 + 20 * usual


def test_who_is_silent_is_let_go(panel, crowd):
    # The panel counts from when it takes the connection, which is not before this.
    begin = time.monotonic()
    line = crowd()
    line.settimeout(worker.SILENT_SECONDS + LONGEST_SECONDS)

    assert line.recv(100) == b""
    assert time.monotonic() - begin >= worker.SILENT_SECONDS


@pytest.mark.parametrize(
    ("parts", "status"),
    [
        ((head("Content-Length: 99999999999"),), 413),
        ((head("Content-Length: 300000", "Connection: close"), b"x" * 300_000), 413),
        ((head("Transfer-Encoding: chunked"), b"0\r\n\r\n"), 411),
        ((head("Connection: close", method="TRACE"),), 405),
        ((head(f"X-A: {'b' * 9000}"),), 431),
        ((head(*[f"X-A{n}: b" for n in range(80)]),), 431),
        ((b"GET /" + b"a" * 5000 + b" HTTP/1.1\r\n\r\n",), 414),
        ((b"GET / HTTP/1.1\r\n" + b"X-A: b\r\n" * 9000,), 431),
        ((b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",), 400),
        ((b"GET / HTTP/1.1\r\nno colon\r\n\r\n",), 400),
        ((b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n",), 400),
        ((head("Content-Length: 5", "Content-Length: 6"), b"hello!"), 400),
        ((head("Content-Length: -5"),), 400),
        ((head("Content-Length: 5", "Transfer-Encoding: chunked"), b"0\r\n\r\n"), 400),
    ],
)
def test_what_cannot_be_is_answered_at_once(parts, status, panel, crowd):
    line = crowd()
    with contextlib.suppress(OSError):
        for part in parts:
            line.sendall(part)
    begin = time.monotonic()

    assert status_of(line) == (status, True)
    # Nobody waited for more to come.
    assert time.monotonic() - begin < worker.SILENT_SECONDS


@pytest.mark.parametrize("path", ["/account/sign-in", "/api/v1/mailboxes"])
@pytest.mark.parametrize("line", ["Transfer-Encoding: chunked", "Content-Length: 99999999999"])
def test_an_answer_to_what_is_not_read_says_that_the_connection_ends(path, line, panel):
    name, _, value = line.partition(": ")
    connection = http.client.HTTPConnection("127.0.0.1", panel.port, timeout=LONGEST_SECONDS)
    connection.putrequest("POST", path)
    connection.putheader(name, value)
    connection.endheaders()
    response = connection.getresponse()
    response.read()

    assert response.headers["Connection"] == "close"
    connection.close()


def test_a_connection_is_used_again(panel):
    line = http.client.HTTPConnection("127.0.0.1", panel.port, timeout=LONGEST_SECONDS)
    for _ in range(5):
        line.request("GET", "/healthz")
        response = line.getresponse()
        assert (response.status, response.read()) == (200, b'{"status": "ok"}')
        used = line.sock
    assert line.sock is used
    line.request("POST", "/account/sign-in", body="a=b")
    response = line.getresponse()
    response.read()
    assert response.status == 403
    line.close()


def test_a_body_in_many_pieces_arrives_whole(panel, crowd):
    body = b"x=" + b"a" * 200_000
    said = head(
        f"Content-Length: {len(body)}",
        "Content-Type: application/x-www-form-urlencoded",
        "Connection: close",
    )
    line = crowd(said[:30])
    for begin in range(0, len(said) - 30, 20):
        line.sendall(said[30 + begin : 50 + begin])
        time.sleep(0.005)
    for begin in range(0, len(body), 20_000):
        line.sendall(body[begin : begin + 20_000])
        time.sleep(0.005)

    # Refused for want of a token, which is looked for in the whole body.
    assert status_of(line) == (403, True)


def test_who_waits_to_be_asked_for_a_body_is_asked_once(panel, crowd):
    line = crowd(head("Content-Length: 3", "Expect: 100-continue", "Connection: close"))

    assert line.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
    line.sendall(b"a=b")
    assert status_of(line) == (403, True)


HIDDEN = head(method="GET", path="/account/sign-in")


@pytest.mark.parametrize(
    "before",
    [
        head(method="GET", path="/healthz"),
        head("Content-Length: 99999999999999999999"),
        head("Content-Length: 0000000000000000000000099"),
        head("Content-Length: 99999999"),
        head("Content-Length: +5"),
        head("Content-Length: 0x5"),
        head("Content-Length : 5"),
        head("Content-Length: 5, 5"),
        head("Content-Length:\t5\t\r\n\t"),
        head("Content-Length: 0", "Transfer-Encoding: chunked"),
        head("Transfer-Encoding:\tchunked"),
        head("Transfer-Encoding: xchunked"),
        head("Transfer-Encoding: gzip, chunked"),
        head("X: y\nTransfer-Encoding: chunked"),
    ],
)
def test_what_comes_behind_a_request_is_never_taken_for_one(before, panel, crowd):
    line = crowd(before + HIDDEN + b"x" * 99)

    said = b""
    with contextlib.suppress(TimeoutError, ConnectionResetError):
        while chunk := line.recv(65536):
            said += chunk
    assert said.count(b"HTTP/1.1 ") == 1
    assert b"current-password" not in said


@pytest.mark.parametrize(
    "header", ["SCRIPT_NAME: /staff", "Script_Name: //evil.test", "PATH_INFO: /staff/"]
)
def test_no_header_says_where_the_panel_lies(header, panel, crowd):
    line = crowd(head(header, "Connection: close", method="GET", path="/overview/"))

    said = b""
    while chunk := line.recv(65536):
        said += chunk
    assert said.startswith(b"HTTP/1.1 302")
    assert b"Location: /account/sign-in?next=/overview/" in said


def test_a_panel_that_stops_answers_what_it_has_begun(panel, crowd):
    for _ in range(50):
        crowd(b"GET / HT")

    begin = time.monotonic()
    panel.stop()
    seconds = time.monotonic() - begin
    panel.start()

    # Then Gunicorn ends what has not ended.
    assert seconds < GracefulTimeout.default
    assert answered(panel) < LONGEST_SECONDS
