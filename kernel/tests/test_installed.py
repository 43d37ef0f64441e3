"""Damaged metadata of whatever distribution is named by its folder."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from galaxy_kernel.errors import PluginError
from galaxy_kernel.installed import installed_entry_points

NAMED = b"Metadata-Version: 2.1\nName: x\nVersion: 1.0\n"
DAMAGES: Mapping[str, tuple[str, Mapping[str, bytes]]] = {
    "no name": (".dist-info", {"METADATA": b""}),
    "an interrupted uninstall": (".dist-info", {}),
    "entry points that are not UTF-8": (
        "x-1.0.dist-info",
        {"METADATA": NAMED, "entry_points.txt": b"[gal\xff\xfe]\nx = y\n"},
    ),
    "entry points without a value": (
        "x-1.0.dist-info",
        {"METADATA": NAMED, "entry_points.txt": b"[galaxy.plugins]\nbroken\n"},
    ),
}


@pytest.fixture(params=DAMAGES)
def damaged(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Make a folder with damaged metadata, and return the folder around it."""
    name, files = DAMAGES[request.param]
    (tmp_path / name).mkdir()
    for file, content in files.items():
        (tmp_path / name / file).write_bytes(content)
    return tmp_path


def test_damaged_metadata_is_named_by_its_folder(damaged: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error has the path and the remedy."""
    monkeypatch.syspath_prepend(str(damaged))
    with pytest.raises(PluginError, match=r"dist-info.*remove that folder") as refused:
        installed_entry_points("galaxy.plugins")
    assert str(damaged) in str(refused.value)


def test_every_command_ends_with_one_sentence_about_it(damaged: Path) -> None:
    """Exit status 78, and no traceback."""
    environment = {**os.environ, "PYTHONPATH": str(damaged)}
    done = subprocess.run(
        [sys.executable, "-m", "galaxy_kernel", "plugins"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, "Traceback" in done.stderr) == (78, False)
    assert str(damaged) in done.stderr.replace("\n", "")


def test_what_is_whole_is_read() -> None:
    """The entry points of the group, and of no other."""
    assert {point.group for point in installed_entry_points("galaxy.plugins")} == {"galaxy.plugins"}
