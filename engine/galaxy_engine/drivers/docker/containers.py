"""A container for each engine: what is asked of the daemon, and what it says of those that are there."""

import math
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from uuid import UUID

from galaxy_engine.drivers.docker.daemon import Json
from galaxy_engine.drivers.docker.networks import Reach
from galaxy_engine.drivers.driver import EngineId, EngineSpec, EngineState, Limits, Observed

PORT = 8080
PORT_LABEL = "galaxy.port"
"""On containers whose engine listens on another port."""
LOOPBACK = "127.0.0.1"
NOBODY = "65534:65534"
FILES = 4096
"""Descriptors of one process, connections included."""
CPU_PERIOD = 100_000
"""Microseconds; a quota of it, unlike NanoCpus, may be larger than the machine."""

_STATES: Mapping[str, EngineState] = {
    "created": "starting",
    "running": "running",
    "paused": "running",
    "restarting": "running",
    "removing": "leaving",
    "dead": "leaving",
    "exited": "ended",
}


def labels(spec: EngineSpec, further: Mapping[str, str]) -> dict[str, str]:
    """Return the labels of the engine's container: those that tell whose it is go over `further` ones."""
    port = {} if spec.port is None else {PORT_LABEL: str(spec.port)}
    return {
        **further,
        **port,
        "galaxy.backend": "1",
        "galaxy.owner": spec.id.owner,
        "galaxy.game": str(spec.id.game_id),
        "galaxy.generation": str(spec.id.generation),
    }


def identity(found: Mapping[str, str]) -> EngineId | None:
    """Return which engine the labels name, None if they do not."""
    try:
        return EngineId(found["galaxy.owner"], UUID(found["galaxy.game"]), int(found["galaxy.generation"]))
    except (KeyError, ValueError):
        return None


def port(found: Mapping[str, str]) -> int:
    """Return the port that the engine listens on, by the labels of its container."""
    text = found.get(PORT_LABEL, "")
    return int(text) if text.isdecimal() else PORT


def config(
    spec: EngineSpec, image: Json, network: str, reach: Reach, user: str | None, further: Mapping[str, str]
) -> Json:
    """Return what the daemon is to create. `user`: None leaves the image's."""
    listens = PORT if spec.port is None else spec.port
    exposed = _tcp(listens)
    environment = {**spec.environment, "PORT": str(listens)}
    container: Json = {
        "Image": spec.image,
        "Env": [f"{name}={value}" for name, value in environment.items()],
        "Labels": labels(spec, further),
        "ExposedPorts": {exposed: {}},
        "Healthcheck": {"Test": ["NONE"]},  # the image's would cost a process every few seconds
        "HostConfig": {
            **_shut_in(spec.limits, (image.get("Config") or {}).get("Volumes") or ()),
            "NetworkMode": network,
            "PortBindings": {exposed: [{"HostIp": LOOPBACK, "HostPort": ""}]} if reach == "published" else {},
            "RestartPolicy": {"Name": "no"},
            "LogConfig": {"Type": "json-file", "Config": {"max-size": "1m", "max-file": "2"}},
        },
    }
    if user is not None:
        container["User"] = user
    return container


def _shut_in(limits: Limits, volumes: Iterable[str]) -> Json:
    """Return what keeps an engine in its box."""
    writable = f"rw,noexec,nosuid,nodev,size={limits.tmpfs}"
    return {
        "CapDrop": ["ALL"],
        "SecurityOpt": ["no-new-privileges"],
        "ReadonlyRootfs": True,
        # A volume that the image declares would be a directory of the host's disk without a limit.
        "Tmpfs": {"/tmp": f"{writable},mode=1777"} | dict.fromkeys(volumes, f"{writable},mode=1777"),  # noqa: S108
        "ShmSize": limits.tmpfs,
        "PidsLimit": limits.pids,
        "Memory": limits.memory,
        "MemorySwap": limits.memory,  # memory and swap together: no swap
        "CpuPeriod": CPU_PERIOD,
        "CpuQuota": math.ceil(limits.cpus * CPU_PERIOD),
        "Ulimits": [
            {"Name": "core", "Soft": 0, "Hard": 0},
            {"Name": "nofile", "Soft": FILES, "Hard": FILES},
        ],
        "OomScoreAdj": 500,  # where the whole machine runs out of memory, an engine goes before the backend
        "Init": True,
        # Names are asked of the container's own loopback, where nobody answers: older daemons pass questions on to
        # the host's servers even from internal networks (CVE-2024-29018).
        "Dns": [LOOPBACK],
    }


def from_inspection(info: Json) -> Observed | None:
    """Return the engine that `GET /containers/{id}/json` describes, None if its labels do not name one."""
    found = info["Config"].get("Labels") or {}
    engine, listens = identity(found), port(found)
    if engine is None:
        return None
    state = info["State"]
    settings = info["NetworkSettings"]
    kind = _STATES.get(state["Status"], "running")
    ended = kind == "ended"
    created = datetime.fromisoformat(info["Created"][:19]).replace(tzinfo=UTC)
    return Observed(
        engine,
        info["Id"],
        info["Config"]["Image"],
        kind,
        _address(settings.get("Networks") or {}, listens, _published(settings.get("Ports") or {}, listens))
        if kind == "running"
        else None,
        started_at=created,
        exit_code=state["ExitCode"] if ended else None,
        oom_killed=bool(state.get("OOMKilled")) and ended,
        detail=str(state.get("Error") or ""),
    )


def from_listing(item: Json) -> Observed | None:
    """Return the engine that an entry of `GET /containers/json` describes. It has no exit code and no reason."""
    found = item.get("Labels") or {}
    engine, listens = identity(found), port(found)
    if engine is None:
        return None
    kind = _STATES.get(item["State"], "running")
    networks = (item.get("NetworkSettings") or {}).get("Networks") or {}
    ports = (seen for seen in item.get("Ports") or () if seen.get("PrivatePort") == listens)
    published = next(
        (seen["PublicPort"] for seen in ports if seen.get("IP") == LOOPBACK and seen.get("PublicPort")), None
    )
    address = _address(networks, listens, published) if kind == "running" else None
    started = datetime.fromtimestamp(item["Created"], UTC)
    return Observed(engine, item["Id"], item["Image"], kind, address, started_at=started)


def _tcp(listens: int) -> str:
    return f"{listens}/tcp"


def _published(ports: Mapping[str, list[dict[str, str]] | None], listens: int) -> int | None:
    bindings = (binding for binding in ports.get(_tcp(listens)) or () if binding.get("HostIp") == LOOPBACK)
    return next((int(binding["HostPort"]) for binding in bindings), None)


def _address(networks: Mapping[str, Json], listens: int, published: int | None) -> str | None:
    """Return where the engine is reached: the published port if there is one, else its address on its network."""
    if published is not None:
        return f"{LOOPBACK}:{published}"
    address = next((network["IPAddress"] for network in networks.values() if network.get("IPAddress")), None)
    return f"{address}:{listens}" if address else None
