"""Drivers by the settings."""

from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from galaxy_engine.drivers.docker import DockerDriver
from galaxy_engine.drivers.process import ProcessDriver
from galaxy_runtime.drivers import Drivers, default_process_dir
from galaxy_runtime.settings import DockerSettings, RuntimeSettings


def _drivers(**settings: Any) -> Drivers:
    return Drivers(Mock(settings=RuntimeSettings(**settings)))


def test_the_driver_is_the_settings_choice(tmp_path: Path) -> None:
    """Each driver is opened for its owner alone, a new one each time."""
    processes = _drivers(driver="process", process_dir=tmp_path)
    assert isinstance(processes.open("owner"), ProcessDriver)
    assert processes.open("owner") is not processes.open("owner")
    containers = _drivers(docker=DockerSettings(host="unix:///nowhere", config=tmp_path / "config.json"))
    assert isinstance(containers.open("owner"), DockerDriver)


def test_limits_and_policy_are_the_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What an engine may use, and when its image is pulled, are what operators set."""
    drivers = _drivers(memory="64MiB", cpus=0.5, pids=16, tmpfs="2MiB", image_pull_policy="never")
    assert (drivers.limits.memory, drivers.limits.cpus, drivers.limits.pids) == (64 * 1024**2, 0.5, 16)
    assert (drivers.limits.tmpfs, drivers.pull_policy) == (2 * 1024**2, "never")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert default_process_dir().parent == tmp_path
