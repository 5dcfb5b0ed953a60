"""What the scripts of `django_otp_webauthn` read from a page that carries them."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from django.middleware.csrf import get_token
from django.urls import reverse


def read_by(request: HttpRequest) -> dict[str, Any]:
    """Where they ask and answer, and by which token."""
    return {
        "autocompleteLoginFieldSelector": None,
        "nextFieldSelector": "input[name='next']",
        "csrfToken": get_token(request),
        "beginAuthenticationUrl": reverse("accounts:passkey_begin_showing"),
        "completeAuthenticationUrl": reverse("accounts:passkey_finish_showing"),
        "beginRegistrationUrl": reverse("accounts:passkey_begin_adding"),
        "completeRegistrationUrl": reverse("accounts:passkey_finish_adding"),
    }
