"""The Celery application of beat: the time table and the broker, and nothing else of the house.

Beat puts out names, and whoever has such a task does it. An application that knows the tasks
would load models, pages and all that they stand on, to look at the clock.
"""

from __future__ import annotations

from celery import Celery

app = Celery("restante-clock", set_as_current=False, fixups=[])
app.config_from_object("django.conf:settings", namespace="CELERY")
