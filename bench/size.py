"""The whole program as `bin/run` starts it: its memory when idle, and how soon it is there."""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

from bench.report import Row

MEMORY_MIB = 300
SECOND_START_SECONDS = 6
_READY = "Restante is running."
_PATIENCE_SECONDS = 120
_IDLE_SECONDS = 20
_PARTS = ("hosting.wsgi:application", "hosting worker", "hosting.clock beat", "hosting.stack")


def measure(environment: dict[str, str]) -> list[Row]:
    first, _memory = _started(environment, idle_seconds=0)
    second, memory = _started(environment, idle_seconds=_IDLE_SECONDS)
    return [
        _row("panel, worker, beat and launcher, PSS when idle", memory, "MiB", MEMORY_MIB),
        _row("second start", second, "s", SECOND_START_SECONDS),
        Row(bench="size", name="first start, migrations and demo", value=first, unit="s"),
    ]


def _row(name: str, value: float, unit: str, reference: float) -> Row:
    return Row(
        bench="size",
        name=name,
        value=value,
        unit=unit,
        reference=reference,
        aim=1.0,
        is_ceiling=True,
    )


def _started(environment: dict[str, str], *, idle_seconds: float) -> tuple[float, float]:
    """Start, wait, weigh and stop; the seconds until it said so, and its memory in MiB."""
    with tempfile.NamedTemporaryFile("w+", prefix="bench-said-") as said:
        begin = time.perf_counter()
        program = subprocess.Popen(
            [sys.executable, "-m", "hosting.stack"],
            env=environment,
            stdout=said,
            stderr=subprocess.STDOUT,
        )
        try:
            while _READY not in Path(said.name).read_text():
                late = time.perf_counter() - begin > _PATIENCE_SECONDS
                if late or program.poll() is not None:
                    raise RuntimeError(Path(said.name).read_text())
                time.sleep(0.05)
            seconds = time.perf_counter() - begin
            time.sleep(idle_seconds)
            return seconds, _memory_mib(psutil.Process(program.pid))
        finally:
            program.send_signal(signal.SIGINT)
            program.wait(timeout=60)


def _memory_mib(launcher: psutil.Process) -> float:
    """What our processes take, each shared page counted in parts (PSS). Dovecot is not ours."""
    everything = [launcher, *launcher.children(recursive=True)]
    ours = [p for p in everything if any(part in " ".join(p.cmdline()) for part in _PARTS)]
    return sum(process.memory_full_info().pss for process in ours) / 2**20
