"""What the process uses of its machine: CPU and memory."""

import os
import time
from collections.abc import Mapping
from pathlib import Path

from opentelemetry.metrics import Meter

from galaxy_chassis.telemetry.metrics import CPU_TIME, MEMORY, UPTIME

_STATM = Path("/proc/self/statm")
"""Sizes in pages: the second is what is resident (Linux, `man 5 proc_pid_statm`)."""


def observe_process(meter: Meter) -> None:
    """Export the process's uptime, CPU time and memory."""
    started = time.monotonic()
    UPTIME.observe(meter, lambda: time.monotonic() - started)
    CPU_TIME.observe(meter, cpu_time)
    MEMORY.observe(meter, memory)


def cpu_time() -> Mapping[str, float]:
    """Return the CPU seconds that the process has used, by mode."""
    used = os.times()
    return {"user": used.user, "system": used.system}


def memory() -> float | Mapping[str, float]:
    """Return the bytes that are resident; nothing where the system does not say so."""
    try:
        return int(_STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return {}
