"""`docker-compose.yml` and `deploy/`, as far as they can be judged by reading."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from importlib import resources
from pathlib import Path

import jsonschema
import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent
TEXT = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
COMPOSE = yaml.safe_load(TEXT)
SERVICES = COMPOSE["services"]
BUILT = sorted(name for name, service in SERVICES.items() if "build" in service)
EVERY = sorted(SERVICES)
SCRIPTS = sorted(
    path
    for folder in ("bin", "deploy", ".ci")
    for path in (ROOT / folder).rglob("*")
    if path.is_file() and path.read_bytes().startswith((b"#!/usr/bin/env bash", b"# Sourced"))
)
# What the images of PostgreSQL and Redis themselves understand.
FOREIGN = {"POSTGRES_USER", "POSTGRES_PASSWORD_FILE", "POSTGRES_INITDB_ARGS"}
# The panel only for a proxy on the same machine; mail for everybody.
PUBLISHED = {
    "web": {"127.0.0.1:8025:8025"},
    "mail": {"110:110", "143:143", "993:993", "995:995"},
}


def compose_schema():
    schemas = resources.files("check_jsonschema") / "builtin_schemas/vendor"
    return json.loads((schemas / "compose-spec.json").read_text(encoding="utf-8"))


# The schema says itself which rules it is written by.
VALIDATOR = jsonschema.validators.validator_for(compose_schema())(compose_schema())


def volumes_of(service):
    return [line.split(":") for line in service.get("volumes", [])]


def test_the_file_follows_the_compose_specification():
    VALIDATOR.validate(COMPOSE)


def test_the_check_would_find_a_wrong_word():
    wrong = COMPOSE | {"services": {"web": {"imagee": "restante/panel"}}}

    with pytest.raises(jsonschema.ValidationError, match="imagee"):
        VALIDATOR.validate(wrong)


@pytest.fixture(scope="module")
def known_names():
    """What the settings ask the environment for, in the shape that the file chooses."""
    script = "import hosting.settings; from hosting import environment as e; print(*e.known_names)"
    shape = {"DATABASE_URL": "postgres://u:p@database/restante", "REDIS_URL": "redis://redis/0"}
    given = {name: f"a-secret-{name}" for name in ("SECRET_KEY", "DOVEADM_API_KEY")}
    given["DOVECOT_DATABASE_PASSWORD"] = "a-secret"
    answer = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
        env=os.environ | shape | given,
    )
    return set(answer.stdout.split())


@pytest.mark.parametrize("name", BUILT)
def test_every_variable_is_one_the_settings_know(name, known_names):
    assert set(SERVICES[name]["environment"]) - known_names == set()


def test_every_variable_of_another_image_is_known():
    found = {name for service in SERVICES.values() for name in service.get("environment", {})}

    assert {name for name in found if name.startswith("POSTGRES")} == FOREIGN


def test_every_variable_an_operator_sets_is_known_and_shown(known_names):
    asked = set(re.findall(r"\$\{(\w+)", TEXT))
    shown = (ROOT / "deploy/example.env").read_text(encoding="utf-8")

    assert asked - known_names == set()
    assert set(re.findall(r"^(\w+)=", shown, re.MULTILINE)) == asked


@pytest.mark.parametrize("kind", ["secrets", "networks", "volumes"])
def test_what_is_named_is_defined_and_what_is_defined_is_used(kind):
    used = set()
    for service in SERVICES.values():
        if kind == "volumes":
            used |= {source for source, *_ in volumes_of(service) if not source.startswith(".")}
        else:
            used |= set(service.get(kind, []))

    assert used == set(COMPOSE[kind])


def test_every_secret_is_made(tmp_path):
    script = (ROOT / "deploy/make_secrets").read_text(encoding="utf-8")

    made = {f"./secrets/{name}" for name in re.findall(r"^keep (\w+) ", script, re.MULTILINE)}
    assert {secret["file"] for secret in COMPOSE["secrets"].values()} == made


@pytest.mark.parametrize("name", EVERY)
def test_a_secret_is_read_only_where_it_is_given(name):
    service = SERVICES[name]
    words = [*service.get("environment", {}).values(), *service.get("command", [])]

    read = {found for word in words for found in re.findall(r"/run/secrets/(\w+)", str(word))}
    assert read - set(service.get("secrets", [])) == set()


def test_nothing_is_exposed_but_what_must_be():
    published = {
        name: set(service["ports"]) for name, service in SERVICES.items() if "ports" in service
    }

    assert published == PUBLISHED
    assert {name for name, service in SERVICES.items() if "edge" in service["networks"]} == {
        "mail",
        "web",
        "worker",
    }
    assert COMPOSE["networks"]["inner"] == {"internal": True}
    assert [name for name in EVERY if "network_mode" in SERVICES[name]] == []


@pytest.mark.parametrize("name", EVERY)
def test_a_service_is_watched_or_runs_once(name):
    service = SERVICES[name]

    if "healthcheck" in service:
        assert service["restart"] == "unless-stopped"
    else:
        assert service["restart"] == "no"
        waiting = [other for other in EVERY if name in SERVICES[other].get("depends_on", {})]
        assert waiting == ["beat", "guard", "mail", "web", "worker"]


@pytest.mark.parametrize("name", EVERY)
def test_a_service_has_no_more_than_it_needs(name):
    service = SERVICES[name]

    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert {"mem_limit", "pids_limit"} <= set(service)
    assert {"max-size", "max-file"} == set(service["logging"]["options"])
    assert not {"privileged", "cap_add", "pid", "ipc", "devices"} & set(service)
    user = service.get("user") or image_user(service["build"]["target"])
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", user)


def image_user(target):
    """The last user that the image's stage sets."""
    dockerfile = (ROOT / "deploy/Dockerfile").read_text(encoding="utf-8")
    stage = re.split(r"^FROM \S+ AS ", dockerfile, flags=re.MULTILINE)
    (lines,) = [text for text in stage if text.startswith(f"{target}\n")]
    return re.findall(r"^USER (\S+)$", lines, re.MULTILINE)[-1]


def test_every_file_that_is_named_exists():
    dockerfile = (ROOT / "deploy/Dockerfile").read_text(encoding="utf-8")
    named = set(re.findall(r"/opt/restante/(deploy/[\w./]+)", TEXT + dockerfile))
    named |= set(re.findall(r"^COPY (\S+)", dockerfile, re.MULTILINE))
    named |= {service["build"]["dockerfile"] for service in SERVICES.values() if "build" in service}
    named |= {source for service in SERVICES.values() for source, *_ in volumes_of(service)}
    # Made by make_secrets, or no file.
    named -= set(COMPOSE["volumes"]) | {"./tls"}

    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []


def test_every_script_that_is_run_can_be_executed():
    folders = ("database", "health", "start", "steps")
    run = [path for folder in folders for path in (ROOT / "deploy" / folder).iterdir()]
    run += [ROOT / "deploy/make_secrets", ROOT / "deploy/use_certificate"]

    assert len(run) > 10
    assert [path.name for path in run if not os.access(path, os.X_OK)] == []


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_script_is_valid_bash(path):
    answer = subprocess.run(["bash", "-n", path], capture_output=True, text=True, check=False)

    assert answer.stderr == ""


def test_the_images_have_the_mail_packages_that_a_start_without_docker_installs():
    step = (ROOT / "deploy/steps/dovecot.sh").read_text(encoding="utf-8")
    environment = (ROOT / "bin/_environment").read_text(encoding="utf-8")
    (listed,) = re.findall(r"^MAIL_PACKAGES=\((.*?)\)", environment, re.MULTILINE | re.DOTALL)

    # There is no SQLite where PostgreSQL is.
    assert set(re.findall(r"dovecot-\w+", step)) == set(listed.split()) - {"dovecot-sqlite"}


def test_the_unit_names_programs_that_exist():
    unit = (ROOT / "deploy/systemd/restante.service").read_text(encoding="utf-8")

    named = re.findall(r"/opt/restante/(\S+)", unit)
    assert named
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_no_image_or_step_names_a_place_to_download_from():
    texts = [
        path.read_text(encoding="utf-8") for path in (ROOT / "deploy").rglob("*") if path.is_file()
    ]
    images = [service["image"] for service in SERVICES.values()]

    assert [text for text in texts if re.search(r"https?://(?!panel\.example\.test)", text)] == []
    assert [image for image in images if "." in image.partition("/")[0] and "/" in image] == []
