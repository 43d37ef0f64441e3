"""The pytest plugin `galaxy_engine`: a Docker daemon for tests marked `docker`.

Without one they are skipped with the reason; where REQUIRE_DOCKER is 1, as in CI, they fail with it.
"""

import contextlib
import fcntl
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from galaxy_engine.drivers.docker.daemon import default_host
from galaxy_engine.testing.dockerd import Dockerd, NoDockerError, answers


@pytest.fixture(scope="session")
def docker_host() -> Iterator[str]:
    """The address of a Docker daemon: the usual one, or one of our own, which goes with the last test run using it."""
    host = default_host(os.environ)
    if answers(host):
        yield host
        return
    folder = Path(tempfile.gettempdir()) / f"galaxy-dockerd-{os.getuid()}"
    daemon = Dockerd(folder)
    with folder.with_suffix(".users").open("w") as users:
        try:
            with _alone(folder):
                daemon.start()
                fcntl.flock(users, fcntl.LOCK_SH)
        except NoDockerError as error:
            no_docker(f"no Docker daemon answers at {host}, and none can be started: {error}")
        yield daemon.host
        with _alone(folder), contextlib.suppress(BlockingIOError):  # others use it
            fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
            daemon.clear()


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Start and stop the daemon one at a time, whichever process does it."""
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def no_docker(reason: str) -> None:
    """Skip the test, or fail where Docker is required."""
    if os.environ.get("REQUIRE_DOCKER") == "1":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)
