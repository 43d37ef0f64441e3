"""The files of a new plugin: their form, whatever its name, and where they are written."""

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from galaxy_devkit.scaffold import files
from galaxy_devkit.scaffold.files import render, write
from galaxy_devkit.scaffold.names import LONGEST

ROOT = Path(__file__).parents[3]
NAMES = ["ab", "notes", "z" * LONGEST]
"""The first sorts before every package that the files import, the last after them; it makes the longest lines."""


def run(folder: Path, *command: str) -> None:
    """Run a tool in a folder; its output is the reason of a failure."""
    done = subprocess.run([sys.executable, "-m", *command], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", NAMES)
def test_ruff_has_nothing_to_say(tmp_path: Path, name: str) -> None:
    """The files are formatted and without findings under the configuration that they bring."""
    folder = write(name, tmp_path)
    run(folder, "ruff", "format", "--check", "--no-cache", ".")
    run(folder, "ruff", "check", "--no-cache", ".")


@pytest.mark.slow
def test_its_own_tests_pass(tmp_path: Path) -> None:
    """The plugin passes its own tests, under a name that no document has."""
    run(write("z" * LONGEST, tmp_path), "pytest", "-q", "-p", "no:cacheprovider")


@pytest.mark.slow
def test_mypy_has_nothing_to_say(tmp_path: Path) -> None:
    """Plugin and tests are typed strictly, also under the options that this repository has besides.

    With the same options, what `make check` found out about our packages need not be found out again.
    """
    cache = tmp_path / "cache"
    if (ROOT / ".mypy_cache").exists():
        shutil.copytree(ROOT / ".mypy_cache", cache)
    ours = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["mypy"]
    options = [f"--enable-error-code={code}" for code in ours["enable_error_code"]]
    options += ["--warn-unreachable"] if ours["warn_unreachable"] else []
    run(write("ab", tmp_path), "mypy", "--cache-dir", str(cache), *options)


@pytest.mark.parametrize("name", NAMES)
def test_its_name_is_filled_in_everywhere(name: str) -> None:
    """Distribution, package, plugin and commands have the name, and no placeholder is left."""
    rendered = render(name)
    project = tomllib.loads(rendered["pyproject.toml"])["project"]
    plugin = {name: f"galaxy_{name}.plugin:{name.capitalize()}Plugin"}
    assert project["name"] == f"galaxy-backend-{name}"
    assert project["entry-points"] == {"galaxy.plugins": plugin, "galaxy.commands": plugin}
    assert {path.split("/")[0] for path in rendered} == {"README.md", "pyproject.toml", "tests", f"galaxy_{name}"}
    assert [path for path, text in rendered.items() if "$" in text or "template" in text] == []
    assert f'revision = "{name}_0001"' in rendered[f"galaxy_{name}/migrations/0001_entries.py"]


def test_every_file_is_written(tmp_path: Path) -> None:
    """The folder has the files, and nothing is left beside it."""
    folder = write("notes", tmp_path)
    written = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    assert {path: file.read_text("utf-8") for path, file in written.items()} == render("notes")
    assert list(tmp_path.iterdir()) == [folder]


@pytest.mark.parametrize("kind", ["folder", "file", "dangling link"])
def test_what_exists_is_left_alone(tmp_path: Path, kind: str) -> None:
    """A folder, a file or a link of the name refuses the plugin and stays as it is."""
    taken = tmp_path / "notes"
    if kind == "folder":
        taken.mkdir()
    elif kind == "file":
        taken.write_text("mine")
    else:
        taken.symlink_to("nowhere")
    with pytest.raises(FileExistsError, match=r"notes exists already.*--into"):
        write("notes", tmp_path)
    assert list(tmp_path.iterdir()) == [taken]
    assert (taken.is_dir(), taken.is_file(), taken.is_symlink()) == tuple(
        kind == each for each in ("folder", "file", "dangling link")
    )


def test_a_missing_place_is_refused(tmp_path: Path) -> None:
    """It may be misspelt, and is not made."""
    with pytest.raises(NotADirectoryError, match=r"missing is not a folder.*--into"):
        write("notes", tmp_path / "missing")
    assert list(tmp_path.iterdir()) == []


def test_a_failure_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When a file cannot be written, none is."""
    monkeypatch.setattr(files, "render", lambda _: {"a": "text", "a/b": "below a file"})
    with pytest.raises(OSError, match="a"):
        write("notes", tmp_path)
    assert list(tmp_path.iterdir()) == []
