"""`python -m bench NAME… [--json FILE]`: runs each bench in an environment of its own.

The settings choose the database when they are read, so each database gets a process. That
process gives its rows back in a file.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from importlib import import_module
from pathlib import Path

from bench import report
from tests.live.test_stack import free_ports
from tests.servers import postgresql, redis

# What each bench tells, and on which databases it runs.
BENCHES = {
    "provisioning": (
        "lists of mailboxes, imported, beside COPY of the same rows",
        ("postgresql", "sqlite"),
    ),
    "signin": ("POP3 and IMAP sign-ins, beside a static password file", ("postgresql", "sqlite")),
    "delivery": (
        "LMTP deliveries, beside the same server without usage reports",
        ("postgresql", "sqlite"),
    ),
    "metering": (
        "usage reports with the exact meter, beside a bare update",
        ("postgresql", "sqlite"),
    ),
    "close": (
        "the close of a month, beside one aggregate and writing the same bills",
        ("postgresql",),
    ),
    "purge": ("purges with receipts, beside find -delete and doveadm expunge", ("postgresql",)),
    "formats": ("mdbox beside sdbox: removal, and repair after damage", ("postgresql",)),
    "sweep": ("finding what is due among many, beside asking each mailbox", ("postgresql",)),
    "rollback": ("a mailbox rolled back, beside Dovecot's own move", ("postgresql",)),
    "api": ("the REST API on two workers, beside a minimal view and a bare one", ("postgresql",)),
    "pages": (
        "pages of a customer with 500 mailboxes, beside the shortest page",
        ("postgresql", "sqlite"),
    ),
    "staff": ("the staff's pages with a million mailboxes, beside ten thousand", ("postgresql",)),
    "webhooks": ("deliveries by two workers, beside a bare loop of posts", ("postgresql",)),
    "trail": (
        "events numbered, chained and looked through, beside numbering alone",
        ("postgresql", "sqlite"),
    ),
    "maillog": (
        "lines of the mail log read into history, beside only counting them",
        ("postgresql", "sqlite"),
    ),
    "size": ("memory when idle, and the seconds of a start", ("sqlite",)),
}
# These start the whole program themselves and need no settings of their own.
SELF_STARTED = {"size"}
_HERE = "--in-this-environment"


def main() -> int:
    arguments = _arguments()
    if arguments.in_this_environment:
        return _measure_here(arguments.names[0], arguments.json)
    unknown = [name for name in arguments.names if name not in BENCHES]
    if unknown or not arguments.names:
        known = ", ".join(BENCHES)
        what = f"There is no bench {unknown[0]!r}" if unknown else "Name a bench"
        print(f"{what}. Known: {known}.", file=sys.stderr)
        return 2
    rows, failed = [], []
    for name in arguments.names:
        for database in BENCHES[name][1]:
            found = _measure(name, database)
            rows += found
            if not found:
                failed.append(f"{name} on {database}")
    print(report.table(rows))
    if arguments.json:
        report.write(rows, arguments.json)
    for name in failed:
        print(f"{name} could not be measured.", file=sys.stderr)
    return 1 if failed else 0


def _arguments() -> argparse.Namespace:
    listed = "\n".join(f"  {name:14}{text}" for name, (text, _databases) in BENCHES.items())
    parser = argparse.ArgumentParser(
        prog="bin/bench",
        description=f"Measures ours beside a reference in one run.\n\n{listed}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows as JSON too")
    parser.add_argument(_HERE, action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


def _measure(name: str, database: str) -> list[report.Row]:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        environment = {**os.environ, **free_ports(), "DJANGO_SETTINGS_MODULE": "hosting.settings"}
        environment["RESTANTE_STATE"] = str(folder / "state")
        for foreign in ("DATABASE_URL", "REDIS_URL"):
            environment.pop(foreign, None)
        if database == "postgresql":
            environment["DATABASE_URL"] = stack.enter_context(postgresql(folder, durable=True))
            environment["REDIS_URL"] = stack.enter_context(redis(folder))
        (folder / "state").mkdir()
        rows = folder / "rows.json"
        if name in SELF_STARTED:
            return import_module(f"bench.{name}").measure(environment)
        command = [sys.executable, "-m", "bench", _HERE, name, "--json", str(rows)]
        subprocess.run(command, check=False, env=environment)
        return list(_read(rows, database))


def _read(path: Path, database: str) -> Iterator[report.Row]:
    if not path.exists():
        return
    for data in json.loads(path.read_text()):
        yield report.Row(**{**data, "name": f"{data['name']} ({database})"})


def _measure_here(name: str, path: Path) -> int:
    from bench import house  # noqa: PLC0415  # It reads the settings of this environment.

    house.set_up()
    rows = import_module(f"bench.{name}").measure()
    fields = ("bench", "name", "value", "unit", "reference", "aim", "is_ceiling")
    data = [{field: getattr(row, field) for field in fields} for row in rows]
    path.write_text(json.dumps(data))
    return 0


if __name__ == "__main__":
    sys.exit(main())
