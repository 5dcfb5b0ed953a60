"""The shape of the house, where import-linter cannot see it."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from django.apps import apps

ROOT = Path(__file__).resolve().parent.parent
# From the ground up: a row may point to its own floor and below.
FLOORS = ("accounts", "mailstore", "hosting")
OURS = [model for model in apps.get_models() if model._meta.app_label in FLOORS]
SOURCES = sorted(
    path
    for floor in FLOORS
    for path in (ROOT / floor).rglob("*.py")
    if "migrations" not in path.parts
)
VAGUE_NAMES = {"utils", "helpers", "services", "lib", "core", "common", "misc"}


def imported_by(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def who_imports(package):
    return {
        str(path.relative_to(ROOT))
        for path in SOURCES
        if any(name == package or name.startswith(f"{package}.") for name in imported_by(path))
    }


@pytest.mark.parametrize("model", OURS, ids=lambda model: model._meta.label)
def test_foreign_keys_point_down(model):
    floor = FLOORS.index(model._meta.app_label)
    above = [
        field.name
        for field in model._meta.get_fields()
        if field.is_relation
        and field.concrete
        and field.related_model._meta.app_label in FLOORS
        and FLOORS.index(field.related_model._meta.app_label) > floor
    ]

    assert above == []


@pytest.mark.parametrize(
    ("package", "only"),
    [
        # The launcher asks the panel for its first page; all else over HTTP is Dovecot's API.
        ("httpx", {"mailstore/engine/admin_api.py", "hosting/stack/readiness.py"}),
        # Receivers of webhooks are met over bare connections, to addresses that were judged.
        ("h11", {"hosting/webhooks/posting.py"}),
        ("segno", {"accounts/second_factor/authenticators.py", "hosting/programs.py"}),
        ("weasyprint", {"hosting/papers/printing.py"}),
        ("PIL", {"hosting/logos.py"}),
        ("redis", {"accounts/rate_limits/in_redis.py"}),
        ("dns", {"mailstore/resolver/dns_client.py"}),
        (
            "django_otp",
            {
                "accounts/models/second_factor.py",
                "accounts/second_factor/authenticators.py",
                "accounts/second_factor/devices.py",
                "accounts/second_factor/proving.py",
                "accounts/views/recovery_codes.py",
                "accounts/views/second_factor.py",
            },
        ),
        (
            "django_otp_webauthn",
            {
                "accounts/second_factor/demanding.py",
                "accounts/second_factor/devices.py",
                "accounts/second_factor/passkeys.py",
            },
        ),
        ("webauthn", {"accounts/second_factor/passkeys.py"}),
    ],
)
def test_one_outside_system_has_one_door(package, only):
    assert who_imports(package) <= only


def test_no_module_has_a_vague_name():
    assert [path for path in SOURCES if path.stem in VAGUE_NAMES] == []


def test_no_file_grows_beyond_a_readable_length():
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in SOURCES}

    assert {str(path): length for path, length in lengths.items() if length > 400} == {}


@pytest.mark.parametrize(
    "path", sorted((ROOT / "static/css").glob("*.css")), ids=lambda path: path.name
)
def test_every_rule_of_a_style_sheet_is_closed_before_the_next_begins(path):
    depth = 0
    inside_another = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if depth and line[:1] in {".", "@", "["}:
            inside_another.append(line)
        depth += line.count("{") - line.count("}")

    assert inside_another == []
    assert depth == 0
