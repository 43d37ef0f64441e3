"""What is allowed: images, networks and limits, and whose containers are acted on."""

import re
from collections.abc import Mapping
from typing import Any, Self

import msgspec

from galaxy_engine.drivers.docker.networks import PROBE
from galaxy_engine.drivers.docker.references import Reference, parse
from galaxy_engine.drivers.driver import Limits

Json = dict[str, Any]
MIB = 1024 * 1024
MOST = Limits(memory=1024 * MIB, cpus=4, pids=1024, tmpfs=256 * MIB)
"""What one engine may use at most, unless said otherwise."""
_HUB = "docker.io"
_LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")
_OWNER = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class RefusedError(Exception):
    """The request does not pass; the text says why, and goes to the caller and to the log."""

    def __init__(self, message: str, status: int = 403) -> None:
        super().__init__(message)
        self.status = status


class Policy(msgspec.Struct, frozen=True):
    """What an operator allows."""

    stack: str
    """The value of `galaxy.stack` on everything that is made and acted on."""
    images: tuple[str, ...]
    """Repositories such as `galaxy/game`, or what they begin with if that ends in a slash: `registry.example.org/`."""
    networks: tuple[str, ...]
    limits: Limits = MOST

    @classmethod
    def checked(cls, stack: str, images: tuple[str, ...], networks: tuple[str, ...], limits: Limits) -> Self:
        """Return the policy. Raise `ValueError`, which names the option, for what would allow nothing or too much."""
        if not _LABEL.fullmatch(stack):
            raise ValueError(f"--stack {stack!r}: expected letters, digits, dots and dashes")
        for name in networks:
            if not _LABEL.fullmatch(name) or name in {"host", "bridge", "none", "default"}:
                raise ValueError(f"--network {name!r}: expected the name of a network for engines alone")
        for allowed in images:
            if parse(f"{allowed}{'x' if allowed.endswith('/') else ''}:tag") is None:
                raise ValueError(f"--image {allowed!r}: expected a repository without a tag, or a prefix with a /")
        return cls(stack, images, networks, limits)

    def has_image(self, reference: Reference) -> bool:
        """Whether images of the reference's repository may run."""
        repository = whole(reference.repository)
        return any(
            repository.startswith(whole(allowed)) if allowed.endswith("/") else repository == whole(allowed)
            for allowed in self.images
        )

    def has_network(self, name: str) -> bool:
        """Whether networks of the name are the engines', or probes for a free subnet."""
        return name in self.networks or name.startswith(PROBE)

    def is_ours(self, labels: Mapping[str, str]) -> bool:
        """Whether what carries the labels is the stack's, and some owner's.

        A backend has several owners: its own, and one for each engine version whose check starts engines.
        """
        known = labels.get("galaxy.backend") == "1" and labels.get("galaxy.stack") == self.stack
        return known and _OWNER.fullmatch(labels.get("galaxy.owner", "")) is not None


def whole(repository: str) -> str:
    """Return the repository with the registry, and the folder `library`, that Docker adds where they are left out."""
    first, slash, rest = repository.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost"):
        hub = first in {"index.docker.io", "registry-1.docker.io"}
        first = _HUB if hub else first
        return f"{first}/library/{rest}" if first == _HUB and rest and "/" not in rest else f"{first}/{rest}"
    return f"{_HUB}/{repository}" if slash else f"{_HUB}/library/{repository}"


def checked_owner(labels: Mapping[str, str]) -> str:
    """Return the owner that the labels name. Raise `RefusedError` if they name none."""
    owner = labels.get("galaxy.owner", "")
    if not _OWNER.fullmatch(owner):
        raise RefusedError("galaxy.owner: it must be there, and the id of an owner")
    return owner
