"""Images are checked in containers, which are gone afterwards."""

import io
import os
import re
import subprocess
import sys
import sysconfig
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from typer.testing import CliRunner, Result

from galaxy_engine.cli import app
from galaxy_engine.drivers.docker import DockerDriver
from galaxy_engine.kit.examination import Settings
from galaxy_engine.kit.launched import LaunchedSubject
from galaxy_engine.kit.running import examine
from galaxy_engine.kit.trace import Trace

pytestmark = pytest.mark.docker

ENGINES = Path(__file__).parent / "engines"
LEFT_OUT = {"__pycache__", "ensurepip", "idlelib", "lib2to3", "site-packages", "test", "tkinter", "turtledemo"}


def python_tree() -> Iterator[Path]:
    """Yield the files that this interpreter needs: itself, its standard library, and the libraries that they load."""
    program, library = Path(sys.executable).resolve(), Path(sysconfig.get_path("stdlib"))
    modules = [path for path in library.rglob("*") if not LEFT_OUT & set(path.relative_to(library).parts)]
    yield program
    yield from (path for path in modules if path.is_file())
    binaries = [program, *(path for path in modules if path.suffix == ".so")]
    listed = subprocess.run(["ldd", *binaries], capture_output=True, text=True, check=False).stdout
    yield from sorted({Path(found) for found in re.findall(r"(/\S+) \(0x", listed)})


def image_of(files: dict[str, Path]) -> bytes:
    """Return a root file system with these files, as a tar."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for name, path in files.items():
            info = tarfile.TarInfo(name.lstrip("/"))
            content = path.read_bytes()
            info.size, info.mode = len(content), 0o755
            tar.addfile(info, io.BytesIO(content))
    return archive.getvalue()


@pytest.fixture(scope="module")
def images(docker_host: str) -> Iterator[dict[str, str]]:
    """The small engine as an image, and the same with a fault that only a second process shows, by fault."""
    tree = image_of({str(path): path for path in python_tree()} | {"/small.py": ENGINES / "small.py"})
    command = f'CMD ["{Path(sys.executable).resolve()}", "-S", "/small.py"]'
    references = {
        fault: f"galaxy-test/small-{fault or 'conforms'}:{os.getpid()}" for fault in ("", "hash_order", "deaf_to_port")
    }
    for fault, reference in references.items():
        changes = ["-c", "USER 1000", "-c", command, "-c", f"ENV FAULT={fault or 'none'}"]
        docker(docker_host, "import", *changes, "-", reference, content=tree)
    yield references
    docker(docker_host, "rmi", "-f", *references.values())


def docker(host: str, *arguments: str, content: bytes = b"") -> str:
    finished = subprocess.run(["docker", "-H", host, *arguments], input=content, capture_output=True, check=True)
    return finished.stdout.decode()


@pytest.fixture(autouse=True)
def nothing_left(docker_host: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The command finds the daemon where `docker` does, and leaves no container on its network."""
    monkeypatch.setenv("DOCKER_HOST", docker_host)
    yield
    patience = time.monotonic() + 180  # another worker's check may run its own just now
    while left := docker(docker_host, "ps", "-aq", "--filter", "network=galaxy-engine-check"):
        assert time.monotonic() < patience, left
        time.sleep(0.5)


def check(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["check", *arguments])


def outcomes(result: Result) -> dict[str, str]:
    """Return how each check ended, of those that did not pass."""
    lines = (line.split() for line in result.output.splitlines() if re.match(r"K\d\d  ", line))
    return {identity: outcome for identity, outcome, *_ in lines if outcome != "ok"}


def test_an_image_that_conforms(images: dict[str, str]) -> None:
    """Every check passes in the box, that of the port included."""
    result = check(images[""], "--time", "10")
    assert (result.exit_code, outcomes(result)) == (0, {})
    assert "listens on $PORT: " in result.output
    assert ":8081" in result.output
    assert "lives within the box: a turn was played within it" in result.output


def test_a_fault_in_an_image(images: dict[str, str]) -> None:
    """It is found in containers as in processes."""
    result = check(images["hash_order"], "--only", "K18")
    assert (result.exit_code, outcomes(result)) == (1, {"K18": "FAILED"})
    assert "expected: the same bytes from a second process" in result.output


async def test_an_image_that_listens_where_it_likes(images: dict[str, str], docker_host: str) -> None:
    """One that has the default port written into it is found out by another one, and nothing of it is left."""
    owner, trace = str(uuid4()), Trace(None)
    driver = DockerDriver(owner, docker_host, "galaxy-engine-check")
    subject = LaunchedSubject(images["deaf_to_port"], driver, owner, trace)
    report = await examine(subject, trace, Settings(start_within=3), ["K01", "K02"])
    assert [(result.id, result.outcome) for result in report.results] == [("K01", "passed"), ("K02", "failed")]
    assert report.results[1].detail == "it does not listen where PORT says"


def test_an_image_that_is_not_there() -> None:
    """That is said by the first check, and by no traceback."""
    result = check("localhost:1/nobody/has-this:1", "--only", "K01")
    assert (result.exit_code, outcomes(result)) == (1, {"K01": "FAILED"})
    assert "came: pull_failed" in result.output


def test_no_daemon(monkeypatch: pytest.MonkeyPatch) -> None:
    """A daemon that does not answer is named."""
    monkeypatch.setenv("DOCKER_HOST", "unix:///nonexistent/docker.sock")
    result = check("engine:1", "--only", "K01")
    assert (result.exit_code, outcomes(result)) == (1, {"K01": "FAILED"})
    assert "host_unreachable" in result.output
