"""One build of the images, and one machine that runs the services, for all tests here."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.patience import PATIENCE_SECONDS, eventually
from tests.production.images import ROOT, build, run
from tests.production.machine import COMPOSE, Container
from tests.servers import postgresql_program

_NEW_NETWORK = 0x40000000
_UNPRIVILEGED_PORTS = Path("/proc/sys/net/ipv4/ip_unprivileged_port_start")


@pytest.fixture(scope="session")
def workspace():
    """A folder that bin/test makes before, and removes after, outside of these mounts."""
    is_enclosed = b"tests/production" in Path("/proc/1/cmdline").read_bytes()
    if os.geteuid() != 0 or not is_enclosed or "PRODUCTION_WORKSPACE" not in os.environ:
        pytest.fail(
            "These tests mount and change root folders, so they run as root in namespaces of"
            " their own; bin/test starts them so.",
        )
    folder = Path(os.environ["PRODUCTION_WORKSPACE"])
    # PostgreSQL runs as a user of its own, and must find its way through.
    folder.chmod(0o711)
    return folder


@pytest.fixture(scope="session")
def images(workspace):
    return build(workspace)


@pytest.fixture(scope="session")
def machine(images, workspace):
    """Every service, started in the order that the file asks for; each is healthy."""
    folder = workspace / "machine"
    (folder / "deploy").mkdir(parents=True)
    shutil.copy(ROOT / "deploy/make_secrets", folder / "deploy")
    run(folder / "deploy/make_secrets")
    _enter_own_network()
    with ExitStack() as stack:
        _start_database(folder, stack)
        _start_redis(folder, stack)
        containers = {
            name: Container(name, images[service["build"]["target"]], folder, stack)
            for name, service in COMPOSE["services"].items()
            if "build" in service
        }
        containers["setup"].start()
        assert containers["setup"].finish() == 0, containers["setup"].said
        running = [name for name in containers if name != "setup"]
        for name in running:
            containers[name].start()
        for name in running:
            containers[name].wait_until_healthy()
        yield containers


def _enter_own_network():
    """Nothing of this machine is in it, so every service has the port that it has elsewhere."""
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.unshare(_NEW_NETWORK) == 0, os.strerror(ctypes.get_errno())
    run("ip", "link", "set", "lo", "up")
    (setting,) = COMPOSE["services"]["mail"]["sysctls"].values()
    _UNPRIVILEGED_PORTS.write_text(setting, encoding="ascii")


def _start_database(folder, stack):
    """Debian's PostgreSQL with the roles that the image would make on an empty volume."""
    data, given = folder / "data", COMPOSE["services"]["database"]["environment"]
    run("mount", "-t", "tmpfs", "tmpfs", "/run")
    shutil.copytree(folder / "secrets", "/run/secrets")
    Path("/run/postgresql").mkdir(mode=0o777)
    Path("/run/postgresql").chmod(0o777)
    folder.chmod(0o711)
    data.mkdir(mode=0o700)
    shutil.chown(data, "postgres", "postgres")
    owner = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
    options = given["POSTGRES_INITDB_ARGS"].split()
    run(*owner, postgresql_program("initdb"), "-D", data, "--auth-local=trust", *options)
    server = [
        postgresql_program("postgres"),
        "-D",
        data,
        "-k",
        "/run/postgresql",
        "-c",
        "fsync=off",
    ]
    _start([*owner, *server], folder / "database.log", stack)
    eventually(lambda: _succeeds("pg_isready", "--host=127.0.0.1"))
    run(
        ROOT / "deploy/database/roles.sh",
        env=os.environ | {"POSTGRES_USER": given["POSTGRES_USER"], "PGHOST": "/run/postgresql"},
    )
    kind, *check = COMPOSE["services"]["database"]["healthcheck"]["test"]
    assert kind == "CMD"
    run(*check)


def _start_redis(folder, stack):
    service = COMPOSE["services"]["redis"]
    _start(service["command"], folder / "redis.log", stack, cwd=folder)
    kind, check = service["healthcheck"]["test"]
    assert kind == "CMD-SHELL"
    eventually(lambda: _succeeds("sh", "-c", check))


def _start(command, log, stack, **options):
    with log.open("ab") as output:
        process = subprocess.Popen(
            [str(word) for word in command], stdout=output, stderr=output, **options
        )
    stack.callback(process.wait, timeout=PATIENCE_SECONDS)
    stack.callback(process.terminate)


def _succeeds(*command):
    return subprocess.run(command, capture_output=True, check=False).returncode == 0
