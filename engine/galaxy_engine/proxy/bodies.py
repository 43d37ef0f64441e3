"""Bodies of requests: read, held against what the driver would send, and made again."""

import ipaddress
import json
from collections.abc import Sequence
from typing import Annotated, Any

import msgspec

from galaxy_engine.drivers.docker import containers, users
from galaxy_engine.drivers.docker.networks import PROBE, Reach, network_config, probe_config
from galaxy_engine.drivers.driver import EngineSpec, Limits
from galaxy_engine.proxy.policy import Json, Policy, RefusedError

_Positive = Annotated[int, msgspec.Meta(ge=1)]


class _Host(msgspec.Struct, frozen=True, rename="pascal"):
    network_mode: str
    memory: _Positive
    pids_limit: _Positive
    shm_size: _Positive
    cpu_quota: _Positive
    port_bindings: dict[str, Any]


class AskedContainer(msgspec.Struct, frozen=True, rename="pascal"):
    """What differs from engine to engine in the body of a create."""

    image: str
    env: list[str]
    labels: dict[str, str]
    host_config: _Host
    user: str | None = None


class _Pool(msgspec.Struct, frozen=True, rename="pascal"):
    subnet: str


class _Pools(msgspec.Struct, frozen=True, rename="pascal"):
    config: Annotated[list[_Pool], msgspec.Meta(min_length=1, max_length=1)]


class AskedNetwork(msgspec.Struct, frozen=True, rename="pascal"):
    """What differs from network to network in the body of a create."""

    name: str
    internal: bool
    labels: dict[str, str]
    options: dict[str, str] = {}
    ipam: _Pools | None = msgspec.field(name="IPAM", default=None)


def parse(body: bytes) -> Json:
    """Return the JSON object. Raise `RefusedError` if it is none, or can be read in two ways."""
    try:
        parsed = json.loads(body, object_pairs_hook=_once)
    except (ValueError, RecursionError):
        raise RefusedError("the body is not JSON", 400) from None
    if not isinstance(parsed, dict):
        raise RefusedError("the body is not a JSON object", 400)
    return parsed


def _once(pairs: Sequence[tuple[str, Any]]) -> Json:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise RefusedError("the body has a member twice", 400)
    return found


def asked_container(body: Json) -> AskedContainer:
    """Return what is asked for. Raise `RefusedError` that names the member which is missing or wrong."""
    try:
        return msgspec.convert(body, AskedContainer)
    except msgspec.ValidationError as error:
        raise RefusedError(f"the container: {error}") from None


def asked_network(body: Json) -> AskedNetwork:
    """Return what is asked for. Raise `RefusedError` that names the member which is missing or wrong."""
    try:
        return msgspec.convert(body, AskedNetwork)
    except msgspec.ValidationError as error:
        raise RefusedError(f"the network: {error}") from None


def container(body: Json, image: Json, policy: Policy) -> Json:
    """Return the body of a create as the driver makes it. Raise `RefusedError` if that is not what was sent.

    `image` is what the daemon says of it.
    """
    asked = asked_container(body)
    spec = _spec(asked, policy)
    config = image.get("Config") or {}
    if asked.user is None and users.number(config.get("User") or "") == 0:
        raise RefusedError(f"User: it must be {containers.NOBODY}, since the image's is root")
    user = None if asked.user is None else containers.NOBODY
    reach: Reach = "published" if asked.host_config.port_bindings else "network"
    stack = {"galaxy.stack": policy.stack}
    made = containers.config(spec, image, asked.host_config.network_mode, reach, user, stack)
    return _same({**body, "Labels": {**stack, **asked.labels}}, made)


def _spec(asked: AskedContainer, policy: Policy) -> EngineSpec:
    engine = containers.identity(asked.labels)
    if engine is None:
        raise RefusedError("Labels: they do not name an engine by galaxy.owner, galaxy.game and galaxy.generation")
    return EngineSpec(
        engine,
        asked.image,
        {name: value for name, _, value in (variable.partition("=") for variable in asked.env)},
        _limits(asked.host_config, policy.limits),
        containers.port(asked.labels) if containers.PORT_LABEL in asked.labels else None,
    )


def _limits(asked: _Host, most: Limits) -> Limits:
    found = {"memory": asked.memory, "pids": asked.pids_limit, "tmpfs": asked.shm_size}
    for name, value in {**found, "cpus": asked.cpu_quota / containers.CPU_PERIOD}.items():
        if value > getattr(most, name):
            raise RefusedError(f"HostConfig: {name} is {value:g}, and at most {getattr(most, name):g} is allowed")
    cpus = (asked.cpu_quota - 0.5) / containers.CPU_PERIOD  # the quota is this times the period, rounded up
    return Limits(cpus=cpus, **found)


def network(body: Json, subnets: frozenset[str], policy: Policy) -> Json:
    """Return the body of a create as the driver makes it. Raise `RefusedError` if that is not what was sent.

    `subnets`: those that the daemon itself chose. Another could take the host's own traffic for its bridge.
    """
    asked = asked_network(body)
    labels = {
        "galaxy.stack": policy.stack,
        "galaxy.backend": "1",
        "galaxy.owner": asked.labels.get("galaxy.owner", ""),
    }
    if asked.name.startswith(PROBE):
        made = probe_config(asked.name, labels)
    elif asked.ipam is None or asked.ipam.config[0].subnet not in subnets:
        raise RefusedError("IPAM: the subnet is not one that the daemon has just shown to be free")
    else:
        subnet = str(ipaddress.ip_network(asked.ipam.config[0].subnet))
        shared = "true" in asked.options.values()
        made = network_config(asked.name, subnet, labels, shared=shared, published=not asked.internal)
    return _same({**body, "Labels": {**labels, **asked.labels}}, made)


def _same(sent: Json, made: Json) -> Json:
    """Return what was made. Raise `RefusedError` with the first place in which it is not what was sent."""
    if place := _difference(sent, made, ""):
        raise RefusedError(f"{place}: not as the driver sends it")
    return made


def _difference(sent: Any, made: Any, place: str) -> str | None:
    if not (isinstance(sent, dict) and isinstance(made, dict)):
        return None if type(sent) is type(made) and sent == made else place
    for name in {**sent, **made}:
        if name not in sent or name not in made:
            return f"{place}.{name}".lstrip(".")
        if found := _difference(sent[name], made[name], f"{place}.{name}".lstrip(".")):
            return found
    return None
