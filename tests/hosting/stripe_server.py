"""A server that checks and answers as Stripe's API is documented to, on this machine alone."""

from __future__ import annotations

import json
import re
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl

import stripe

KEY = "sk_test_4eC39HqLyjWDarjtT1zdp7dc"
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
ORIGIN = "https://checkout.stripe.com"


class Refused(Exception):
    """An answer that is no success: `error` is what stands under that name in the body."""

    def __init__(self, status, **error):
        super().__init__(status)
        self.status = status
        self.error = {"type": "invalid_request_error", **error}


@dataclass
class StripeServer:
    """What lies behind the fake API."""

    address: str = ""
    # None, a status to answer with, or "hang up".
    fault: object = None
    requests: list = field(default_factory=list)
    answers: dict = field(default_factory=dict)
    sessions: dict = field(default_factory=dict)
    intents: dict = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def answer(self, path, headers, body):
        """Status and body, as the documentation of each path says."""
        if headers.get("Authorization") != f"Bearer {KEY}":
            raise Refused(401, message="Invalid API Key provided: sk_test_****")
        if headers.get("Stripe-Version") != stripe.api_version:
            raise Refused(400, message="Invalid Stripe API version")
        if headers.get("Content-Type") != "application/x-www-form-urlencoded":
            raise Refused(400, message="Bodies are forms.")
        key = headers.get("Idempotency-Key", "")
        if not 0 < len(key) <= 255:
            raise Refused(400, message="Keys have 1 to 255 characters.")
        form = dict(parse_qsl(body.decode(), strict_parsing=True, keep_blank_values=True))
        with self.lock:
            self.requests.append((path, key, form))
            first = self.answers.setdefault(key, [path, form, None])
            if first[:2] != [path, form]:
                raise Refused(
                    400,
                    type="idempotency_error",
                    message="Keys for idempotent requests can only be used with the same "
                    "parameters they were first used with.",
                )
            first[2] = first[2] or self.done(path, form)
            return first[2]

    def done(self, path, form):
        if path == "/v1/checkout/sessions":
            return self.session(form)
        if path == "/v1/refunds":
            return self.refund(form)
        raise Refused(404, message=f"Unrecognized request URL (POST: {path}).")

    def session(self, form):
        item = "line_items[0]"
        for name in (
            "mode",
            "success_url",
            "cancel_url",
            f"{item}[quantity]",
            f"{item}[price_data][currency]",
            f"{item}[price_data][unit_amount]",
            f"{item}[price_data][product_data][name]",
        ):
            if not form.get(name):
                raise Refused(400, message=f"Missing required param: {name}.", param=name)
        amount, currency = (
            form[f"{item}[price_data][unit_amount]"],
            form[f"{item}[price_data][currency]"],
        )
        if not re.fullmatch(r"[a-z]{3}", currency):
            raise Refused(400, message=f"Invalid currency: {currency}", param="currency")
        if int(amount) < 50:
            raise Refused(
                400,
                code="amount_too_small",
                message="The Checkout Session's total amount must convert to at least 50 cents.",
            )
        number = f"cs_test_{len(self.sessions) + 1}"
        self.sessions[number] = session = {
            "id": number,
            "object": "checkout.session",
            "amount_total": int(amount) * int(form[f"{item}[quantity]"]),
            "currency": currency,
            "client_reference_id": form.get("client_reference_id"),
            "metadata": {"invoice": form["metadata[invoice]"]},
            "mode": form["mode"],
            "payment_intent": None,
            "payment_status": "unpaid",
            "status": "open",
            "url": f"{ORIGIN}/c/pay/{number}#fid",
        }
        return session

    def refund(self, form):
        intent, amount = form["payment_intent"], int(form["amount"])
        left = self.intents.get(intent)
        if left is None:
            raise Refused(
                404, code="resource_missing", message=f"No such payment_intent: '{intent}'"
            )
        if not 0 < amount <= left:
            raise Refused(400, message="Refund amount is greater than unrefunded amount on charge")
        self.intents[intent] = left - amount
        return {
            "id": f"re_{len(self.answers)}",
            "object": "refund",
            "amount": amount,
            "currency": "eur",
            "payment_intent": intent,
            "metadata": {"refund": form["metadata[refund]"]},
            "status": "succeeded",
        }

    def pay(self, session_id):
        """Somebody pays on a page; the payment's id."""
        session = self.sessions[session_id]
        intent = f"pi_{session_id}"
        session.update(payment_intent=intent, payment_status="paid", status="complete")
        self.intents[intent] = session["amount_total"]
        return intent


def event(name, about, *, event_id="evt_1", created=1_793_600_000):
    """A message as Stripe's endpoint sends it."""
    return {
        "id": event_id,
        "object": "event",
        "api_version": stripe.api_version,
        "created": created,
        "type": name,
        "livemode": False,
        "pending_webhooks": 1,
        "request": {"id": None, "idempotency_key": None},
        "data": {"object": about},
    }


def signed(message, *, secret=SECRET, at=None):
    """A message and its signature, both as they are sent."""
    body = message if isinstance(message, str) else json.dumps(message, indent=2)
    header = stripe.WebhookSignature.generate_signature_header(
        body, secret, timestamp=int(time.time()) if at is None else at
    )
    return body.encode(), header


@contextmanager
def serving():
    """The server on a free port."""
    shop = StripeServer()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if shop.fault == "hang up":
                self.close_connection = True
                return
            if shop.fault:
                self.send(shop.fault, {"error": {"type": "api_error", "message": "Sorry."}})
                return
            try:
                self.send(200, shop.answer(self.path, self.headers, body))
            except Refused as refusal:
                self.send(refusal.status, {"error": refusal.error})

        def send(self, status, value):
            content = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.send_header("Request-Id", "req_1")
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_given):
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    shop.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield shop
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
