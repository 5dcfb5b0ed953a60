"""A program that calls the API as an integrator's does."""

from __future__ import annotations

import json
from typing import Any

from django.test import Client

from accounts import keyring, keys
from accounts.access import system
from accounts.models import Organisation
from tests.factories import AT

EVERYTHING = keys.SCOPES


def make_key(
    organisation: Organisation,
    *scopes: str,
    only_for: tuple[Organisation, ...] = (),
    is_test: bool = False,
    **options: Any,
) -> keyring.Made:
    return keyring.make(
        actor=system("tests"),
        organisation=organisation,
        label="Shop",
        scopes=scopes or EVERYTHING,
        only_for=only_for,
        is_test=is_test,
        at=AT,
        **options,
    )


class Caller:
    """Speaks JSON with one key. Answers are Django's, with `.json()`."""

    def __init__(self, secret: str = "", prefix: str = "/api/v1") -> None:
        self.client = Client()
        self.headers = {"authorization": f"Bearer {secret}"} if secret else {}
        self.prefix = prefix

    def get(self, path: str, **headers: str) -> Any:
        return self.client.get(self.prefix + path, headers={**self.headers, **headers})

    def head(self, path: str, **headers: str) -> Any:
        return self.client.head(self.prefix + path, headers={**self.headers, **headers})

    def post(self, path: str, body: Any = None, **headers: str) -> Any:
        return self._send("post", path, body, headers)

    def patch(self, path: str, body: Any = None, **headers: str) -> Any:
        return self._send("patch", path, body, headers)

    def put(self, path: str, body: Any = None, **headers: str) -> Any:
        return self._send("put", path, body, headers)

    def delete(self, path: str, **headers: str) -> Any:
        return self._send("delete", path, None, headers)

    def _send(self, method: str, path: str, body: Any, headers: dict[str, str]) -> Any:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        text = "" if body is None else json.dumps(body)
        content = {"data": text, "content_type": "application/json"}
        send = getattr(self.client, method)
        return send(self.prefix + path, headers={**self.headers, **named}, **content)
