from __future__ import annotations

import subprocess
import sys

from hosting.celery import app as house
from hosting.clock import app as clock

# What beat does before it looks at the clock, and whether anything of ours was loaded by it.
START = """
import sys
from hosting.clock import app
app.loader.init_worker()
app.finalize()
from django.apps import apps
loaded = [name for name in sys.modules if name.startswith(("accounts", "mailstore", "rest_"))]
print(loaded, "hosting.tasks" in sys.modules, apps.ready)
"""


def test_every_task_of_the_time_table_is_one_that_the_house_has():
    house.loader.import_default_modules()

    assert {entry["task"] for entry in clock.conf.beat_schedule.values()} <= set(house.tasks)


def test_the_clock_puts_out_to_where_the_worker_takes_in():
    for name in ("broker_url", "broker_transport_options", "task_default_queue", "timezone"):
        assert clock.conf[name] == house.conf[name]


def test_the_clock_loads_nothing_of_the_house():
    done = subprocess.run([sys.executable, "-c", START], capture_output=True, text=True, check=True)

    assert done.stdout == "[] False False\n"
