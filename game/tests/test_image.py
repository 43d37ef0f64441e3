"""What goes into the image."""

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

from galaxy_game.engine import package_version

GAME = Path(__file__).parents[1]
DOCKERFILE = (GAME / "Dockerfile").read_text("utf-8")


def test_version() -> None:
    """The image's label, the package and the description of the engine name one version."""
    project = tomllib.loads((GAME / "pyproject.toml").read_text("utf-8"))["project"]
    assert f"ARG VERSION={project['version']}\n" in DOCKERFILE
    assert package_version() == project["version"]


def test_nothing_but_the_standard_library(tmp_path: Path) -> None:
    """What the image copies is enough to run, on an interpreter without any package installed."""
    copied = re.findall(r"^COPY (\S+) \./", DOCKERFILE, flags=re.MULTILINE)
    assert copied == ["pyproject.toml", "galaxy_game"]
    shutil.copy(GAME / "pyproject.toml", tmp_path)
    shutil.copytree(GAME / "galaxy_game", tmp_path / "galaxy_game")
    code = "from galaxy_game import engine, server; print(engine.package_version())"
    done = subprocess.run(
        [sys.executable, "-S", "-c", code], cwd=tmp_path, env={}, capture_output=True, text=True, check=False
    )
    assert done.stderr == ""
    assert done.stdout.strip() == package_version()


def test_not_root() -> None:
    """The image's user is a number that is not root's."""
    (user,) = re.findall(r"^USER (\d+):(\d+)$", DOCKERFILE, flags=re.MULTILINE)
    assert "0" not in user
