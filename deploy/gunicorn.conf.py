# ruff: noqa: INP001 -- gunicorn reads this as a file, not as part of a package.
"""How the panel's pages are served on a production machine."""

from hosting import environment
from hosting.serving.gunicorn import *  # noqa: F403 -- what holds on every machine

_host = environment.text("PANEL_HOST", default="127.0.0.1")
bind = f"{_host}:{environment.port('PANEL_PORT', default=8025)}"
workers = 2
preload_app = True
graceful_timeout = 10
# The rest of the file system cannot be written.
worker_tmp_dir = "/dev/shm"  # noqa: S108
# Only the reverse proxy reaches the port, and from an address that Docker chooses.
forwarded_allow_ips = "*"
accesslog = "-"
