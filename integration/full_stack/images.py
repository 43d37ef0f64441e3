"""The images of the scenarios: built when they are missing, and again when what they are made of has changed."""

import hashlib
import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from galaxy_engine.testing.fixtures import no_docker

ROOT = Path(__file__).parents[2]
SOURCE = "galaxy.source"
"""The label with the digest of what an image was built from."""
POSTGRES, REDIS, BASE = "postgres:15-bookworm", "redis:7-bookworm", "python:3.11-slim-bookworm"
MAILPIT = "axllent/mailpit:v1.27"
_LEFT_OUT = {"tests", "__pycache__"}


@dataclass(frozen=True)
class Image:
    """An image of ours: its tag, its Dockerfile, and the folders that it is made of."""

    tag: str
    dockerfile: str
    sources: Sequence[str]
    context: str = "."
    target: str = ""
    arguments: Mapping[str, str] = field(default_factory=dict)

    def digest(self) -> str:
        """Return the digest of everything that the image depends on."""
        digest = hashlib.sha256(repr((self.target, sorted(self.arguments.items()))).encode())
        for path in sorted({ROOT / self.dockerfile, *_files(self.sources)}):
            digest.update(f"{path.relative_to(ROOT)}\0".encode())
            digest.update(path.read_bytes())
        return digest.hexdigest()[:16]


def _files(sources: Sequence[str]) -> Iterator[Path]:
    for source in sources:
        for path in (ROOT / source).rglob("*"):
            if path.is_file() and _LEFT_OUT.isdisjoint(path.parts) and not path.parent.name.endswith(".egg-info"):
                yield path


def _part(part: str, sources: Sequence[str], **arguments: str) -> Image:
    tag = f"galaxy/{part}:integration" + "".join(f"-{value}" for value in arguments.values()).replace(
        "galaxy-backend-", "without-"
    )
    return Image(
        tag,
        "tools/docker/Dockerfile",
        (*sources, "locks", "contracts", "chassis", "migrations", "kernel"),
        target=part,
        arguments={"PART": part, **arguments},
    )


BACKEND = _part("backend", ("engine", "plugins"))
BACKEND_WITHOUT_GEO = _part("backend", ("engine", "plugins"), WITHOUT="galaxy-backend-geo")
GATEWAY = _part("gateway", ("gateway", "web"))
MAIL_SINK = _part("mail-sink", ("plugins/mail",))
GAME = Image("galaxy/game:integration", "game/Dockerfile", ("game/galaxy_game", "game/pyproject.toml"), context="game")


def ensure(image: Image) -> str:
    """Build the image unless it is here, made of what is here; return its tag."""
    digest = image.digest()
    if (
        _run("image", "inspect", "--format", f'{{{{index .Config.Labels "{SOURCE}"}}}}', image.tag).stdout.strip()
        == digest
    ):
        return image.tag
    options = [f"--build-arg={name}={value}" for name, value in image.arguments.items()]
    target = [f"--target={image.target}"] if image.target else []
    file = str(ROOT / image.dockerfile)
    built = _run(
        "build",
        "--quiet",
        "--file",
        file,
        "--tag",
        image.tag,
        f"--label={SOURCE}={digest}",
        *target,
        *options,
        str(ROOT / image.context),
    )
    if built.returncode:
        no_docker(f"{image.tag} could not be built: {built.stderr[-2000:]}")
    return image.tag


def ensure_bases(*images: str) -> None:
    """Have images of others here: pulled, or stand-ins made of Debian's packages."""
    script = str(ROOT / "tools/docker/base-images.sh")
    done = subprocess.run([script, *images], capture_output=True, text=True, check=False)
    if done.returncode:
        no_docker(f"base-images.sh failed: {done.stderr[-1000:]}")


def pulled(image: str) -> bool:
    """Return whether an image is here, or can be pulled."""
    return not (_run("image", "inspect", image).returncode and _run("pull", "--quiet", image).returncode)


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    # The builder of before BuildKit: where Debian's docker.io is installed there is no other.
    environment = {**os.environ, "DOCKER_BUILDKIT": "0"}
    return subprocess.run(
        ["docker", *arguments], env=environment, capture_output=True, text=True, timeout=900, check=False
    )
