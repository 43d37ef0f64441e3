"""The engines to learn from conform, as executables."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"
KIT = Path(sys.executable).with_name("galaxy-engine")


def node() -> Path | None:
    """Return a Node.js: the system's, or the one that the browser tests' package brings."""
    if system := shutil.which("node"):
        return Path(system)
    try:
        from playwright._impl._driver import compute_driver_executable
    except ImportError:
        return None
    found = Path(compute_driver_executable()[0])
    return found if found.exists() else None


def check(engine: Path, *, path: Path | None = None) -> dict[str, Any]:
    """Return what the kit says of an executable; `path` is a folder that is searched for interpreters first."""
    search = os.pathsep.join(filter(None, [str(path) if path else "", os.environ["PATH"]]))
    command = [str(KIT), "check", "--json", "--time", "20", str(engine)]
    done = subprocess.run(command, env=os.environ | {"PATH": search}, capture_output=True, text=True, check=False)
    assert done.returncode in {0, 1}, done.stderr
    said: dict[str, Any] = json.loads(done.stdout)
    return said


def failed(said: dict[str, Any]) -> list[Any]:
    return [row for row in said["results"] if row["outcome"] not in {"passed", "skipped"}]


def skipped(said: dict[str, Any]) -> set[str]:
    return {row["id"] for row in said["results"] if row["outcome"] == "skipped"}


@pytest.mark.slow
def test_python() -> None:
    """The auction, in Python, conforms; skipped is what it does not offer, and the box of an image."""
    said = check(EXAMPLES / "python/auction.py")
    assert failed(said) == []
    assert skipped(said) == {"K30", "K36", "K37", "K42"}


@pytest.mark.slow
def test_node(tmp_path: Path) -> None:
    """Nim, in Node, conforms; skipped is what it does not offer, two seats at once, and the box of an image."""
    interpreter = node()
    if interpreter is None:
        pytest.skip("there is no Node.js here, neither the system's nor playwright's")
    # Without its compiler: from version 24 on, Node reserves more memory for compiled code than the driver `process`
    # lets an engine have.
    wrapper = tmp_path / "node"
    wrapper.write_text(f'#!/bin/sh\nexec "{interpreter}" --jitless "$@"\n', "utf-8")
    wrapper.chmod(0o755)
    said = check(EXAMPLES / "node/nim.mjs", path=tmp_path)
    assert failed(said) == []
    assert skipped(said) == {"K15", "K30", "K35", "K37", "K42"}


def test_short() -> None:
    """An engine is small: the one in Node has fewer than 150 lines."""
    assert len((EXAMPLES / "node/nim.mjs").read_text("utf-8").splitlines()) < 150
