"""What Gunicorn is told on every machine; `deploy/gunicorn.conf.py` adds what one of them needs."""

from __future__ import annotations

import gc
from typing import Any

from hosting.serving.logs import WithoutQueries
from hosting.serving.worker import GatheringWorker

worker_class = GatheringWorker
logger_class = WithoutQueries
# Pages wait for the database and the mail server, not for the processor.
threads = 8
worker_connections = 400
# A worker whose loop stands still for so long is ended; a slow page does not hold up the loop.
timeout = 60
keepalive = 10
# What Gunicorn writes anyway, and the id of the answer, by which the other lines are found.
access_log_format = '%(h)s %(l)s %(u)s %(t)s "%(r)s" %(s)s %(b)s "%(f)s" "%(a)s" %({request-id}o)s'
# The longest address is a list with all its filters, the largest header a cookie.
limit_request_line = 4094
limit_request_fields = 64
limit_request_field_size = 8190
# No header of a client can say below which path the panel lies.
forwarder_headers = ""
control_socket_disable = True


def when_ready(_server: Any) -> None:
    """Keep what is loaded shared with forked workers: a collection writes to all that it sees."""
    gc.collect()
    gc.freeze()
