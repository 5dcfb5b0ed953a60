"""What `bin/run` starts as the service user: `python -m hosting.stack`."""

from __future__ import annotations

import argparse
import os
import sys

import django
from django.core.exceptions import ImproperlyConfigured

from hosting.stack import watching


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bin/run")
    parser.add_argument("--no-demo", action="store_true")
    return parser.parse_args()


def main() -> int:
    """Start everything and watch until told to stop; 1 when a part could not be started."""
    arguments = _arguments()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "hosting.settings")
    watching.end_at_signals()
    try:
        django.setup()
    except ImproperlyConfigured as error:
        print(f"restante: {error}", file=sys.stderr)
        return 1
    # Everything below needs the settings to be ready.
    from hosting.stack import launching  # noqa: PLC0415

    return launching.run(with_demo=not arguments.no_demo)


if __name__ == "__main__":
    sys.exit(main())
