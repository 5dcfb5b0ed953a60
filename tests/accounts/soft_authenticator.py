"""A passkey in software, for tests without a browser: makes a key pair and signs challenges."""

from __future__ import annotations

import hashlib
import json
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode

import cbor2
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

_PRESENT, _VERIFIED, _HAS_KEY = 0x01, 0x04, 0x40


def text(raw):
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


def raw(encoded):
    return urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4))


class SoftAuthenticator:
    """`host` and `origin` are those of the page that a browser would have open."""

    def __init__(self, *, origin, host, looks_at_person=True):
        self.origin, self.host, self.looks = origin, host, looks_at_person
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.key_id = secrets.token_bytes(32)
        self.user_handle = b""
        self.uses = 0

    def _client_data(self, kind, challenge):
        said = {"type": kind, "challenge": challenge, "origin": self.origin}
        return json.dumps(said).encode()

    def _data(self, *, with_key):
        flags = _PRESENT | (_VERIFIED if self.looks else 0) | (_HAS_KEY if with_key else 0)
        host = hashlib.sha256(self.host.encode()).digest()
        data = host + bytes([flags]) + self.uses.to_bytes(4, "big")
        if not with_key:
            return data
        numbers = self.key.public_key().public_numbers()
        point = {-2: numbers.x.to_bytes(32, "big"), -3: numbers.y.to_bytes(32, "big")}
        public = cbor2.dumps({1: 2, 3: -7, -1: 1, **point})
        return data + bytes(16) + len(self.key_id).to_bytes(2, "big") + self.key_id + public

    def make(self, options):
        """The answer to what `passkey/register` says."""
        self.user_handle = raw(options["user"]["id"])
        attested = {"fmt": "none", "attStmt": {}, "authData": self._data(with_key=True)}
        return self._answer(
            clientDataJSON=text(self._client_data("webauthn.create", options["challenge"])),
            attestationObject=text(cbor2.dumps(attested)),
        )

    def show(self, options):
        """The answer to what `passkey/show` says."""
        self.uses += 1
        client_data = self._client_data("webauthn.get", options["challenge"])
        data = self._data(with_key=False)
        signed = data + hashlib.sha256(client_data).digest()
        return self._answer(
            clientDataJSON=text(client_data),
            authenticatorData=text(data),
            signature=text(self.key.sign(signed, ec.ECDSA(hashes.SHA256()))),
            userHandle=text(self.user_handle),
        )

    def _answer(self, **response):
        return {
            "id": text(self.key_id),
            "rawId": text(self.key_id),
            "type": "public-key",
            "clientExtensionResults": {},
            "response": response,
        }
