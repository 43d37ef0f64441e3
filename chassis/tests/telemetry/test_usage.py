"""What the process uses of its machine."""

import time
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from galaxy_chassis.telemetry import usage


def test_cpu_time_grows_with_work() -> None:
    """Both modes are there, and computing shows."""
    before = usage.cpu_time()
    begun = time.process_time()
    while time.process_time() - begun < 0.05:
        pass
    after = usage.cpu_time()
    assert set(after) == {"user", "system"}
    assert sum(after.values()) > sum(before.values())


@pytest.mark.skipif(not usage._STATM.exists(), reason="only Linux has /proc/self/statm")
def test_memory_is_what_the_process_holds() -> None:
    """Memory that is allocated and touched is counted, in bytes."""
    before = usage.memory()
    held = bytearray(b"x") * 50_000_000
    after = usage.memory()
    assert isinstance(before, int) and isinstance(after, int)
    assert after - before > len(held) // 2


def test_where_the_system_does_not_say_memory_is_left_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No number is exported rather than a wrong one."""
    monkeypatch.setattr(usage, "_STATM", tmp_path / "missing")
    assert usage.memory() == {}


def test_all_of_it_is_exported() -> None:
    """Uptime, CPU time by mode, and memory where the system says it."""
    reader = InMemoryMetricReader()
    usage.observe_process(MeterProvider([reader], shutdown_on_exit=False).get_meter("test"))
    data: Any = reader.get_metrics_data()
    found = {each.name: each.data.data_points for each in data.resource_metrics[0].scope_metrics[0].metrics}
    assert {"process.uptime", "process.cpu.time"} <= set(found) <= {*found, "process.memory.usage"}
    assert {point.attributes["cpu.mode"] for point in found["process.cpu.time"]} == {"user", "system"}
