"""Versions of engines: what the engineversion plugin offers to others, and what it needs of them."""

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Literal, Protocol
from uuid import UUID

import msgspec

from galaxy_contracts.capability import Capability
from galaxy_contracts.database import Connection

VersionState = Literal["active", "deprecated", "retired"]
"""`active` takes new games; the others take none, while games that run on them go on."""
PullPolicy = Literal["if_missing", "always", "never"]


class EngineVersion(msgspec.Struct, frozen=True):
    """A version of an engine as every replica holds it in memory."""

    id: UUID
    engine: str
    version: str
    """By Semantic Versioning 2.0.0; unique within the engine."""
    major: int
    minor: int
    patch: int
    image: str
    """The image reference as an operator gave it; an executable's path under the driver `process`."""
    digest: str | None = None
    """`repository@sha256:…` once it is known, where a registry gave one. Never changes while a game uses the row."""
    state: VersionState = "active"
    describe: dict[str, Any] | None = None
    """What the engine says of itself (`Describe` of the engine contract); None until it was started once."""

    @property
    def name(self) -> str:
        """`engine@version`, by which `find` finds exactly this one."""
        return f"{self.engine}@{self.version}"

    @property
    def launchable(self) -> str:
        """What to start: the digest once it is known, else the image."""
        return self.digest or self.image


class EngineVersionError(Exception):
    """A version cannot be used. `str()` is one sentence for people; `code` never changes."""

    code: ClassVar[str]


class UnknownVersionError(EngineVersionError):
    """There is no such version (any more): a fault of the field that named it."""

    code = "engine_version_unknown"

    def __init__(self, reference: str) -> None:
        super().__init__(f"there is no engine version {reference}")


class AmbiguousVersionError(EngineVersionError):
    """Several engines have a version of this number: a fault of the field that named it."""

    code = "engine_version_ambiguous"

    def __init__(self, reference: str, choices: Iterable[str]) -> None:
        self.choices = tuple(sorted(choices))
        super().__init__(f"several engines have a version {reference}: choose one of {', '.join(self.choices)}")


class ClosedVersionError(EngineVersionError):
    """The version takes no new games: a conflict with its state."""


class DeprecatedVersionError(ClosedVersionError):
    """The version is deprecated."""

    code = "engine_version_deprecated"

    def __init__(self, version: EngineVersion) -> None:
        super().__init__(f"the engine version {version.name} is deprecated and takes no new games")


class RetiredVersionError(ClosedVersionError):
    """The version is retired."""

    code = "engine_version_retired"

    def __init__(self, version: EngineVersion) -> None:
        super().__init__(f"the engine version {version.name} is retired and takes no new games")


class VersionUser(Protocol):
    """Whoever keeps games that are pinned to versions."""

    async def in_use(self, connection: Connection, version_id: UUID) -> int:
        """Return how many games need the version, as the caller's transaction sees it; the version's row is locked."""


class EngineDrivers(Protocol):
    """Where engines run, handed over by the plugin that has the driver's settings."""

    @property
    def pull_policy(self) -> PullPolicy:
        """When images are pulled."""

    def open(self, owner: str) -> Any:
        """Return a new `galaxy_engine.drivers.driver.EngineDriver` for engines of this owner alone, a UUID as text.

        Called in the event loop that uses the driver, which is not the service's: it must share no connection with
        other drivers. The caller removes what it launches, and closes the driver.
        """


class EngineVersions(Protocol):
    """The registry of engine images."""

    def get(self, version_id: UUID) -> EngineVersion | None:
        """Return a version from memory, whatever its state."""

    def find(self, reference: str) -> EngineVersion | None:
        """Return the version of an id, of a `version` that one engine alone has, or of `engine@version`, from memory.

        Whatever its state: `use` decides. Raise `AmbiguousVersionError` with the choices.
        """

    async def use(self, connection: Connection, version_id: UUID) -> EngineVersion:
        """Return a version for a new game, which the caller's transaction adds.

        Until that ends, the version is neither deleted nor changed. Raise `UnknownVersionError`,
        `DeprecatedVersionError` or `RetiredVersionError`.
        """

    async def record_start(
        self, connection: Connection, version_id: UUID, *, describe: Mapping[str, Any] | None, digest: str | None
    ) -> EngineVersion:
        """Keep what the first start of an engine has shown: what is known already stays. Return the version.

        Not in a transaction that called `use`: two of those would wait for each other. Raise `UnknownVersionError`.
        """

    def register_user(self, user: VersionUser) -> None:
        """Have somebody asked before a version is deleted or its image changes. In the user's lifespan."""

    def register_drivers(self, drivers: EngineDrivers) -> None:
        """Make known where engines run, so that versions can be checked. In the owner's lifespan.

        Raise ValueError at the second call.
        """


def find_version(versions: Iterable[EngineVersion], reference: str) -> EngineVersion | None:
    """Return what a reference means among these versions, as `EngineVersions.find` says."""
    engine, at, number = reference.rpartition("@")
    if at:
        return next((each for each in versions if (each.engine, each.version) == (engine, number)), None)
    folded = reference.lower()
    found = [each for each in versions if each.version == reference or str(each.id) == folded]
    if len(found) > 1:
        raise AmbiguousVersionError(reference, (each.name for each in found))
    return found[0] if found else None


def check_open(version: EngineVersion) -> None:
    """Return if a version takes new games. Raise `DeprecatedVersionError` or `RetiredVersionError`."""
    if version.state == "deprecated":
        raise DeprecatedVersionError(version)
    if version.state == "retired":
        raise RetiredVersionError(version)


ENGINE_VERSIONS: Capability[EngineVersions] = Capability("engineversion.versions")
