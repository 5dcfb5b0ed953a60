# ruff: noqa: INP001 -- gunicorn reads this as a file, not as part of a package.
"""How the panel's pages are served on a production machine."""

from hosting import environment

_host = environment.text("PANEL_HOST", default="127.0.0.1")
bind = f"{_host}:{environment.port('PANEL_PORT', default=8025)}"
# Pages wait for the database and the mail server, not for the processor.
worker_class = "gthread"
workers = 2
threads = 8
preload_app = True
timeout = 60
graceful_timeout = 10
# The rest of the file system cannot be written.
worker_tmp_dir = "/dev/shm"  # noqa: S108
control_socket_disable = True
# Only the reverse proxy reaches the port, and from an address that Docker chooses.
forwarded_allow_ips = "*"
accesslog = "-"
