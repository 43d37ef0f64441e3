"""The command `backend new-plugin`."""

from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from galaxy_devkit.scaffold.command import new_plugin
from galaxy_devkit.scaffold.files import render


def run(*arguments: str) -> Result:
    """Run the command."""
    app = typer.Typer()
    app.command()(new_plugin)
    return CliRunner().invoke(app, arguments)


def test_writes_a_plugin_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without --into the folder is made in the current one, and the output says what to do next."""
    monkeypatch.chdir(tmp_path)
    done = run("notes")
    assert done.exit_code == 0
    assert done.stdout.startswith("notes is a plugin that works. Next:\n\n    cd notes\n")
    assert {path.relative_to("notes").as_posix() for path in Path("notes").rglob("*.*")} == set(render("notes"))


def test_writes_a_plugin_elsewhere(tmp_path: Path) -> None:
    """`--into` names the folder in which the plugin's own is made."""
    assert run("notes", "--into", str(tmp_path)).exit_code == 0
    assert [path.name for path in tmp_path.iterdir()] == ["notes"]


@pytest.mark.parametrize(("name", "says"), [("Notes", "must be 2 to 24"), ("mail", "is in use, by")])
def test_a_bad_name_is_a_wrong_use(tmp_path: Path, name: str, says: str) -> None:
    """The command exits with 2, names the argument and its value, and writes nothing."""
    done = run(name, "--into", str(tmp_path))
    assert done.exit_code == 2
    assert f"NAME: '{name}' {says}" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_what_exists_is_one_line(tmp_path: Path) -> None:
    """The command exits with 1 and one line that says what to do."""
    (tmp_path / "notes").mkdir()
    done = run("notes", "--into", str(tmp_path))
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr.startswith("backend new-plugin: ") and done.stderr.count("\n") == 1
    assert "exists already" in done.stderr
