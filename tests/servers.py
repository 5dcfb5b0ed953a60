"""Runs a command with a PostgreSQL and a Redis of its own: `python -m tests.servers COMMAND…`.

Both lie in a temporary folder, listen on free ports of this machine only, and are gone when
the command ends.
"""

from __future__ import annotations

import os
import random
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.patience import PATIENCE_SECONDS

_PORTS = range(20_000, 32_000)


def free_port() -> int:
    """A port of this machine that nobody has, and no other caller is given until this process ends.

    The kernel gives the ports that it finds by itself to every outgoing connection as well, so one
    that was free a moment ago may be taken, or be found a second time: ours lie below those.
    """
    while True:
        port = random.choice(_PORTS)
        lease = socket.socket(socket.AF_UNIX)
        try:
            # A name of the kernel's own: it is free again when this process has ended.
            lease.bind(f"\0restante-test-port-{port}")
            _require_unused(port)
        except OSError:
            lease.close()
        else:
            lease.detach()
            return port


def _require_unused(port: int) -> None:
    for family, address in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        with socket.socket(family) as probe:
            probe.bind((address, port))


def wait_for_port(port: int, process: subprocess.Popen) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"{process.args[0]} ended with code {process.returncode}")
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise RuntimeError(f"{process.args[0]} does not listen on port {port}")


@contextmanager
def running(arguments: list[str], *, port: int, log: Path) -> Iterator[subprocess.Popen]:
    with log.open("ab") as output:
        process = subprocess.Popen(arguments, stdout=output, stderr=output)
    try:
        wait_for_port(port, process)
        yield process
    finally:
        process.terminate()
        process.wait(timeout=PATIENCE_SECONDS)


def postgresql_program(name: str) -> str:
    """Debian keeps the server's programs out of the path."""
    found = shutil.which(name) or next(
        (str(path) for path in sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))),
        None,
    )
    if found is None:
        raise RuntimeError(f"{name} is missing: install PostgreSQL's server")
    return found


@contextmanager
def postgresql(folder: Path, *, durable: bool = False) -> Iterator[str]:
    """A fresh PostgreSQL; gives the address of its empty database.

    Tests need nothing that outlives a power cut; a benchmark asks for a `durable` one.
    """
    data, port = folder / "data", free_port()
    password = secrets.token_hex(16)
    password_file = folder / "password"
    password_file.write_text(password)
    subprocess.run(
        [
            *(postgresql_program("initdb"), "-D", data, "-U", "restante", "-A", "scram-sha-256"),
            *("--pwfile", password_file, "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"),
        ],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    arguments = [postgresql_program("postgres"), "-D", str(data), "-p", str(port)]
    options = {"listen_addresses": "127.0.0.1", "unix_socket_directories": str(folder)}
    options |= {"fsync": "on" if durable else "off", "max_connections": "60"}
    for name, value in options.items():
        arguments += ["-c", f"{name}={value}"]
    with running(arguments, port=port, log=folder / "postgresql.log"):
        try:
            yield f"postgres://restante:{password}@127.0.0.1:{port}/postgres"
        finally:
            # A test may have stopped it and started another one in its place.
            end = [postgresql_program("pg_ctl"), "stop", "-D", data, "-m", "immediate"]
            subprocess.run(end, check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


@contextmanager
def redis(folder: Path) -> Iterator[str]:
    port = free_port()
    program = shutil.which("redis-server")
    if program is None:
        raise RuntimeError("redis-server is missing: install Redis")
    arguments = [program, "--bind", "127.0.0.1", "--port", str(port), "--save", ""]
    with running([*arguments, "--dir", str(folder)], port=port, log=folder / "redis.log"):
        yield f"redis://127.0.0.1:{port}/0"


def main(command: list[str]) -> int:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="restante-")))
        database_url = stack.enter_context(postgresql(folder))
        redis_url = stack.enter_context(redis(folder))
        environment = os.environ | {"DATABASE_URL": database_url, "REDIS_URL": redis_url}
        return subprocess.run(command, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
