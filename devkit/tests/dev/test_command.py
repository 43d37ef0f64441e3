"""The command `backend dev`: from its options to a run."""

from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from galaxy_devkit.dev import command


@pytest.mark.parametrize(
    ("arguments", "data", "options"),
    [
        ([], Path(".galaxy"), {"json_logs": False, "any_ports": False}),
        (["--data", "elsewhere", "--json-logs"], Path("elsewhere"), {"json_logs": True, "any_ports": False}),
        (["--any-ports"], Path(".galaxy"), {"json_logs": False, "any_ports": True}),
    ],
)
def test_options_reach_the_run_and_its_status_is_the_commands(
    monkeypatch: pytest.MonkeyPatch, arguments: list[str], data: Path, options: dict[str, bool]
) -> None:
    """The defaults are those of a newcomer: the directory here, the usual ports, lines for people."""
    seen: list[Any] = []

    async def run_dev(data: Path, **options: bool) -> int:
        seen.append((data, options))
        return 7

    monkeypatch.setattr(command, "run_dev", run_dev)
    app = typer.Typer()
    app.command()(command.dev)
    assert CliRunner().invoke(app, arguments).exit_code == 7
    assert seen == [(data, options)]
