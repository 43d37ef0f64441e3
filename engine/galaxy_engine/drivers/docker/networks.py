"""The network that engines are on: made if missing, without a way out, and looked at before every launch.

On a network that the backend makes, engines reach no other machine, and not each other unless the backend itself is
in a container on it. They do reach what listens on the bridge's own address, that is on all addresses of the host:
only a firewall can close that, which is why the bridge has a name that can be known beforehand (`bridge_name`).

A network that somebody else made is used if it is as closed as ours, or if it says by the label
`galaxy.isolation=off` that it need not be; else it is `config_invalid`, since engines are not trusted.
"""

import contextlib
import hashlib
import ipaddress
import re
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from aiodocker import DockerError

from galaxy_engine.drivers.docker.daemon import Daemon, Json
from galaxy_engine.failures import ConfigInvalid, StartFailed

Reach = Literal["network", "published"]
MAX_ENDPOINTS = 900
"""Engines on one bridge; a Linux bridge has 1,023 ports."""
CONSENT = ("galaxy.isolation", "off")
ATTEMPTS = 5
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
PROBE = "galaxy-probe-"
"""Begins the names of networks that are made for a moment, to see which subnet the daemon chooses."""
_ICC = "com.docker.network.bridge.enable_icc"
_MASQUERADE = "com.docker.network.bridge.enable_ip_masquerade"
_BRIDGE_NAME = "com.docker.network.bridge.name"
_DEAD_GATEWAY = "DefaultGatewayIPv4"
"""The daemon's name for the default gateway that containers get; an address that nobody has leads nowhere."""


def own_container(mountinfo: Path = Path("/proc/self/mountinfo")) -> str | None:
    """Return the id of the container that this process runs in, None outside of containers."""
    with contextlib.suppress(OSError):
        match = re.search(r"/containers/([0-9a-f]{64})/(?:hostname|resolv\.conf|hosts) ", mountinfo.read_text())
        if match:
            return match[1]
    return None


def bridge_name(network: str) -> str:
    """Return the interface's name on the host; it is unique, so that there is one network of our making of a name."""
    return f"gx-{hashlib.sha256(network.encode()).hexdigest()[:10]}"


class Networks:
    """Finds and makes the network called `name`."""

    def __init__(
        self, daemon: Daemon, name: str, owner: str, reach: Reach, container: str | None, labels: Mapping[str, str]
    ) -> None:
        """`container`: the id of the container that the backend is in; `labels`: further ones of what is made."""
        self._daemon = daemon
        self._name = name
        self._owner = owner
        self._published = reach == "published"
        self._container = container
        self._labels = {**labels, "galaxy.backend": "1", "galaxy.owner": owner}

    @property
    def _shared(self) -> bool:
        """Whether the backend reaches engines as their neighbour, for which neighbours must reach each other."""
        return self._container is not None and not self._published

    async def ensure(self) -> str:
        """Return the network's id. Raise `ConfigInvalid` if there is one that cannot be used."""
        if not _NAME.fullmatch(self._name):
            raise ConfigInvalid(f"{self._name!r} is not the name of a network")
        reason = ""
        for _ in range(ATTEMPTS):
            found = await self._find(self._name)
            if found:
                await self._remove(found[1:])
                if problem := self._problem(found[0]):
                    raise ConfigInvalid(f"the network {self._name} cannot be used: {problem}", found[0]["Id"])
                return str(found[0]["Id"])
            try:
                await self._create()
            except DockerError as error:  # somebody else makes it at the same time, or it cannot be made
                reason = error.message
        raise ConfigInvalid(f"the network {self._name} cannot be made", reason)

    async def check(self) -> None:
        """Ensure the network, and raise `StartFailed` if there is no room on it for one more engine."""
        network = await self.ensure()
        seen = await self._daemon.ask(lambda docker: docker._query_json(f"networks/{network}"))
        members = (seen or {}).get("Containers") or {}
        if self._container is not None and self._published:
            raise ConfigInvalid(
                "engines are to be reached by ports of the loopback, and the backend is in a container",
                f"its loopback is not the host's; container {self._container}",
            )
        if self._shared and self._container not in members:
            raise ConfigInvalid(
                f"the backend's container is not on the network {self._name}",
                f"connect it: docker network connect {self._name} {self._container}",
            )
        if len(members) >= MAX_ENDPOINTS:
            raise StartFailed(f"the network {self._name} is full", f"{len(members)} containers are on it")

    async def _find(self, name: str, *, prefix: bool = False) -> list[Json]:
        """Return the networks of exactly this name, or of names that begin so; the oldest first."""
        listed = await self._daemon.ask(lambda docker: docker.networks.list(filters={"name": name}))
        found = (seen for seen in listed or () if seen["Name"] == name or (prefix and seen["Name"].startswith(name)))
        return sorted(found, key=lambda seen: str(seen["Created"]))

    async def _remove(self, networks: list[Json]) -> None:
        """Remove those of our making; the daemon refuses where a container is on one."""
        for network in networks:
            if (network.get("Labels") or {}).get("galaxy.owner") == self._owner:
                with contextlib.suppress(DockerError):
                    await self._delete(network["Id"])

    async def _delete(self, network: str) -> None:
        await self._daemon.call(lambda docker: docker._query_json(f"networks/{network}", "DELETE"))

    def _problem(self, network: Json) -> str | None:
        """Return why engines would not be shut in, or not be reached, on the network."""
        options, labels = network.get("Options") or {}, network.get("Labels") or {}
        internal, driver = network.get("Internal"), network.get("Driver")
        closed = internal or (options.get(_MASQUERADE) == "false" and _leads_nowhere(network))
        remedy = f"remove it and the backend makes it, or make it with the label {CONSENT[0]}={CONSENT[1]}"
        problems = [
            (driver != "bridge", f"its driver is {driver}, not bridge"),
            (not closed, "engines would have a way out" + ("" if self._published else ", since it is not internal")),
            (self._shared and options.get(_ICC) == "false", f"{_ICC} is false, and the backend is a container on it"),
            (not self._shared and options.get(_ICC) != "false", f"engines would reach each other: {_ICC} is not false"),
        ]
        if self._published and internal:
            return "it is internal, and no port is published on such a network"
        if labels.get(CONSENT[0]) == CONSENT[1]:
            return None
        return next((f"{text}; {remedy}" for wrong, text in problems if wrong), None)

    async def _create(self) -> None:
        subnet = await self._free_subnet()
        config = network_config(self._name, subnet, self._labels, shared=self._shared, published=self._published)
        await self._daemon.call(lambda docker: docker.networks.create(config))

    async def _free_subnet(self) -> str:
        """Return a subnet that the daemon would choose: it alone knows which are free on its host."""
        await self._remove(await self._find(PROBE, prefix=True))  # left by a backend that was killed here
        config = probe_config(f"{PROBE}{secrets.token_hex(6)}", self._labels)
        probe = (await self._daemon.call(lambda docker: docker.networks.create(config))).id
        seen: Json = await self._daemon.call(lambda docker: docker._query_json(f"networks/{probe}"))
        await self._delete(probe)
        return str(seen["IPAM"]["Config"][0]["Subnet"])


def network_config(name: str, subnet: str, labels: Mapping[str, str], *, shared: bool, published: bool) -> Json:
    """Return what the daemon is to create as the engines' network."""
    options = {_BRIDGE_NAME: bridge_name(name), _ICC: "true" if shared else "false"}
    if published:
        options[_MASQUERADE] = "false"
    return {
        "Name": name,
        "CheckDuplicate": True,
        "Driver": "bridge",
        "Internal": not published,
        "IPAM": {"Config": [_without_gateway(subnet)]},
        "Options": options,
        "Labels": dict(labels),
    }


def probe_config(name: str, labels: Mapping[str, str]) -> Json:
    """Return what the daemon is to create to show which subnet it chooses."""
    return {"Name": name, "Internal": True, "Labels": dict(labels)}


def _without_gateway(subnet: str) -> Json:
    """Return the subnet with a default gateway that nobody has."""
    return {"Subnet": subnet, "AuxiliaryAddresses": {_DEAD_GATEWAY: str(ipaddress.ip_network(subnet)[-2])}}


def _leads_nowhere(network: Json) -> bool:
    configs = (network.get("IPAM") or {}).get("Config") or []
    return bool(configs) and all(_DEAD_GATEWAY in (config.get("AuxiliaryAddresses") or {}) for config in configs)
