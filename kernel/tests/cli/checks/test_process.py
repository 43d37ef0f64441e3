"""What this process runs on."""

import resource
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from galaxy_kernel.cli.checks import process
from galaxy_kernel.core.settings import KernelSettings


async def test_python_is_shown() -> None:
    """Its version and platform help whoever reads a report."""
    (found,) = await process.python()
    assert found.state == "ok" and found.detail.startswith("3.")


@pytest.mark.parametrize(("mail", "state"), [("1.0", "ok"), ("1.1", "warning")])
async def test_distributions_of_two_releases(monkeypatch: pytest.MonkeyPatch, mail: str, state: str) -> None:
    """They are released together; what is not ours has its own versions."""
    names = {"galaxy-backend-kernel": "1.0", "galaxy-backend-mail": mail, "aiohttp": "3.0"}
    installed = [SimpleNamespace(name=name, version=version) for name, version in names.items()]
    monkeypatch.setattr(process, "distributions", lambda: installed)
    (found,) = await process.installed()
    assert found.state == state
    assert ("1.1: mail" in found.detail) == (state == "warning")


@pytest.mark.parametrize(("mode", "state"), [(0o600, "ok"), (0o640, "ok"), (0o644, "warning"), (0o606, "failed")])
async def test_a_file_of_secrets_for_everybody(tmp_path: Path, mode: int, state: str) -> None:
    """Whoever reads it has the keys, and whoever writes it the backend."""
    path = tmp_path / ".env"
    path.touch()
    path.chmod(mode)
    (found,) = await process.env_file(str(path))
    assert found.state == state
    assert ("chmod 600" in found.detail) == (state != "ok")


@pytest.mark.parametrize(("limit", "state"), [(1024, "warning"), (1 << 20, "ok"), (resource.RLIM_INFINITY, "ok")])
async def test_a_low_limit_of_open_files(monkeypatch: pytest.MonkeyPatch, limit: int, state: str) -> None:
    """It bounds the connections, whatever the setting says."""
    answer: Any = lambda _: (limit, limit)  # noqa: E731 # a function in place of another
    monkeypatch.setattr(resource, "getrlimit", answer)
    (found,) = await process.descriptors(KernelSettings())
    assert found.state == state
    assert ("LimitNOFILE" in found.detail) == (state == "warning")
