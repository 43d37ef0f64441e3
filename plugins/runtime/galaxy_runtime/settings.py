"""What operators set."""

from datetime import timedelta
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from annotated_types import Gt
from pydantic import Field, field_validator

from galaxy_kernel.api import Duration, Settings

Positive = Annotated[Duration, Gt(timedelta(0))]


class DockerSettings(Settings):
    """The Docker daemon that runs engines."""

    prefix: ClassVar[str | None] = "BACKEND_DOCKER_"

    host: str = "unix:///var/run/docker.sock"
    """Where the daemon listens: `unix:///path` or `tcp://host:port`."""
    config: Path | None = None
    """A Docker `config.json` with logins to registries, read at each pull; none: images are pulled without a login."""
    network: str = "galaxy-engines"
    """The bridge that engines are on; made if missing, without a way out."""


class StackSettings(Settings):
    """What the deployment is called where several share a daemon."""

    prefix: ClassVar[str | None] = "BACKEND_"

    stack_label: str = ""
    """Value of the label `galaxy.stack` on every container of an engine; empty: there is no such label."""


class RuntimeSettings(Settings):
    """Engines, turns and their limits."""

    docker: DockerSettings = DockerSettings()
    stack: StackSettings = StackSettings()
    driver: Literal["docker", "process"] = "docker"
    """What runs engines. `process` starts a local executable for each game and isolates nothing: for development."""
    process_dir: Path | None = None
    """Where the driver `process` notes its engines, shared by the backends of one machine; by default in /tmp."""
    reach: Literal["network", "published"] = "network"
    """How containers are reached: by their address on the network, or by a port published on the loopback."""
    image_pull_policy: Literal["if_missing", "always", "never"] = "if_missing"
    """When an engine's image is pulled."""
    reconcile_interval: Positive = timedelta(seconds=60)
    """Longest wait between two comparisons of the engines that should be and those that are."""
    start_timeout: Positive = timedelta(seconds=30)
    """How long a new engine may take until it is healthy."""
    start_concurrency: int = Field(default=4, ge=1, le=64)
    """Engines started at once."""
    max_engines: int = Field(default=500, ge=1, le=900)
    """Games with an engine at once, over all replicas; above it the longest unused make room. A bridge holds 1,023."""
    idle_stop: Duration | Literal["never"] = timedelta(minutes=15)
    """After so long without a call an engine with no turn soon is removed; `never` keeps engines up."""
    wake_ahead: Duration = timedelta(seconds=30)
    """How long before its turn a removed engine is started again."""
    turn_timeout: Positive = timedelta(seconds=60)
    """How long an engine may take for a turn, or for the start of a game."""
    order_timeout: Positive = timedelta(seconds=5)
    """How long an engine may take for orders, options and suggestions."""
    turn_attempts: int = Field(default=3, ge=1, le=20)
    """Failed attempts at one turn after which the game is paused."""
    turn_concurrency: int = Field(default=16, ge=1, le=256)
    """Turns adjudicated at once by one process."""
    spread: Duration = timedelta(0)
    """Over how long the adjudication of turns due at one moment is spread; orders close on time all the same."""
    downtime_grace: Duration = timedelta(0)
    """How long after a time without any backend the turns of that time run; 0s: at once."""
    verify: float = Field(default=0.0, ge=0, le=1)
    """Share of turns that are run twice and compared."""
    keep_snapshots: int = Field(default=20, ge=2, le=100_000)
    """Turns whose snapshots are kept, besides the start and every tenth."""
    memory: int = Field(default=256 * 1024 * 1024, ge=16 * 1024 * 1024)
    """Bytes of memory an engine may use."""
    cpus: float = Field(default=1.0, gt=0, le=64)
    """Processors an engine may use."""
    pids: int = Field(default=64, ge=4, le=32_768)
    """Processes and threads an engine may have."""
    tmpfs: int = Field(default=16 * 1024 * 1024, ge=1024 * 1024)
    """Bytes of an engine's /tmp, the only place it can write to."""

    @field_validator("memory", "tmpfs", mode="before")
    @classmethod
    def _bytes(cls, value: object) -> object:
        """Read `256MiB` as bytes."""
        if not isinstance(value, str):
            return value
        for unit, size in {"KiB": 1024, "MiB": 1024**2, "GiB": 1024**3}.items():
            number = value.removesuffix(unit).strip()
            if number != value.strip() and number.isascii() and number.isdigit():
                return int(number) * size
        return value
