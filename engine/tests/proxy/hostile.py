"""What a backend that was broken into would try: each request is refused, and none changes anything at the daemon."""

import asyncio
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import quote
from uuid import UUID

from galaxy_engine.drivers.docker import containers
from galaxy_engine.drivers.driver import EngineId, EngineSpec

Json = dict[str, Any]
STACK, OWNER, GAME = "blue", "0a0a0a0a-0000-4000-8000-000000000001", UUID(int=7)
ENGINE = EngineId(OWNER, GAME, 1)
CREATE = f"/containers/create?name={ENGINE.name}"

HOST_CONFIG: Mapping[str, Any] = {
    "Privileged": True,
    "Binds": ["/:/host"],
    "Mounts": [{"Type": "bind", "Source": "/", "Target": "/host"}],
    "VolumesFrom": ["postgres"],
    "VolumeDriver": "local",
    "PidMode": "host",
    "IpcMode": "host",
    "UTSMode": "host",
    "UsernsMode": "host",
    "CgroupnsMode": "host",
    "NetworkMode": "host",
    "CapAdd": ["SYS_ADMIN"],
    "CapDrop": [],
    "Devices": [{"PathOnHost": "/dev/sda", "PathInContainer": "/dev/sda", "CgroupPermissions": "rwm"}],
    "DeviceRequests": [{"Count": -1, "Capabilities": [["gpu"]]}],
    "DeviceCgroupRules": ["a *:* rwm"],
    "SecurityOpt": ["no-new-privileges", "seccomp=unconfined"],
    "CgroupParent": "/system.slice",
    "Runtime": "other",
    "Sysctls": {"kernel.core_pattern": "|/bin/sh"},
    "MaskedPaths": [],
    "ReadonlyPaths": [],
    "ReadonlyRootfs": False,
    "Links": ["postgres:db"],
    "ExtraHosts": ["registry:127.0.0.1"],
    "Dns": ["8.8.8.8"],
    "GroupAdd": ["0"],
    "OomKillDisable": True,
    "Memory": 0,
    "MemorySwap": -1,
    "PidsLimit": 1_000_000,
    "CpuQuota": -1,
    "ShmSize": 1 << 40,
    "Ulimits": [],
    "Tmpfs": {"/tmp": "rw,exec"},
    "RestartPolicy": {"Name": "always"},
    "AutoRemove": True,
    "LogConfig": {"Type": "syslog", "Config": {"syslog-address": "tcp://192.0.2.1:514"}},
    "PortBindings": {"8080/tcp": [{"HostIp": "0.0.0.0", "HostPort": "22"}]},
    "privileged": True,
}
"""Members that, so given, make of a body of the driver one that is refused."""
CONFIG: Mapping[str, Any] = {
    "Image": "alpine:3",
    "User": "0",
    "Entrypoint": ["/bin/sh"],
    "Cmd": ["-c", "id"],
    "WorkingDir": "/",
    "Volumes": {"/host": {}},
    "Healthcheck": {"Test": ["CMD", "sh"]},
    "OnBuild": ["RUN id"],
    "MacAddress": "02:42:ac:11:00:02",
    "NetworkingConfig": {"EndpointsConfig": {"bridge": {}}},
    "hostconfig": {"Privileged": True},
    "HostConfig": None,
}
LABELS: Mapping[str, str] = {
    "galaxy.stack": "green",
    "galaxy.owner": "everybody",
    "galaxy.backend": "2",
    "com.docker.compose.project": "blue",
}


def body(network: str, image: Json) -> Json:
    """Return what the driver sends for the engine."""
    spec = EngineSpec(ENGINE, image["RepoTags"][0], {"GALAXY_TOKEN": "t"})
    return containers.config(spec, image, network, "network", None, {})


def bodies(network: str, image: Json) -> Iterator[tuple[str, bytes]]:
    """Yield bodies of a create, by what is wrong with them."""
    for name, value in HOST_CONFIG.items():
        made = body(network, image)
        made["HostConfig"][name] = value
        yield f"HostConfig.{name}", json.dumps(made).encode()
    for name, value in CONFIG.items():
        yield name, json.dumps({**body(network, image), name: value}).encode()
    for name, value in LABELS.items():
        made = body(network, image)
        made["Labels"][name] = value
        yield name, json.dumps(made).encode()
    good = json.dumps(body(network, image))
    yield (
        "a member twice",
        good.replace('"Init": true', '"Init": true, "Privileged": false, "Privileged": true').encode(),
    )
    yield "the whole of HostConfig twice", (good[:-1] + ', "HostConfig": {"Privileged": true}}').encode()
    yield "no JSON", b"{"
    yield "no object", b"[]"
    yield "deep", b'{"a":' * 100_000
    yield "too large", json.dumps({**body(network, image), "Env": ["A=" + 300_000 * "x"]}).encode()


def calls(foreign: str, network: str) -> tuple[tuple[str, str], ...]:
    """Return calls that do not pass, without bodies: `foreign` is a container, `network` a network of others."""
    return (
        ("POST", f"/containers/{foreign}/start"),
        ("POST", f"/containers/{foreign}/stop?t=0"),
        ("POST", f"/containers/{foreign}/wait?condition=removed"),
        ("DELETE", f"/containers/{foreign}?force=1&v=1"),
        ("GET", f"/containers/{foreign}/json"),
        ("GET", f"/containers/{foreign}/logs?stdout=1&stderr=1&tail=10"),
        ("GET", f"/containers/{foreign}/archive?path=/etc/passwd"),
        ("GET", f"/containers/{foreign}/archive?path=/etc/shadow"),
        ("PUT", f"/containers/{foreign}/archive?path=/"),
        ("GET", f"/containers/{foreign}/export"),
        ("POST", f"/containers/{foreign}/exec"),
        ("POST", f"/containers/{foreign}/attach?stream=1"),
        ("POST", f"/containers/{foreign}/kill"),
        ("POST", f"/containers/{foreign}/rename?name=x"),
        ("POST", f"/containers/{foreign}/update"),
        ("POST", "/containers/postgres/stop?t=0"),
        ("DELETE", "/containers/postgres?force=1&v=1"),
        ("GET", "/containers/json"),
        ("GET", "/containers/json?all=1&filters={}"),
        ("GET", '/containers/json?all=1&filters={"label":["galaxy.owner=somebody"]}'),
        ("GET", '/containers/json?all=1&filters={"label":["galaxy.owner=' + OWNER + '"],"volume":["x"]}'),
        ("POST", "/containers/prune"),
        ("POST", f"/commit?container={foreign}"),
        ("POST", "/build"),
        ("POST", "/session"),
        ("GET", "/images/json"),
        ("GET", "/images/alpine:3/json"),
        ("DELETE", "/images/galaxy/game:1"),
        ("POST", "/images/create?fromImage=alpine&tag=3"),
        ("POST", "/images/create?fromImage=galaxy/game&tag=1&fromSrc=-"),
        ("POST", "/images/create?fromImage=evil.example/galaxy/game&tag=1"),
        ("POST", "/images/load"),
        ("GET", "/volumes"),
        ("POST", "/volumes/create"),
        ("POST", "/swarm/init"),
        ("POST", "/services/create"),
        ("GET", "/secrets"),
        ("POST", "/plugins/pull?remote=x"),
        ("GET", "/info"),
        ("GET", "/events"),
        ("GET", f"/networks/{network}"),
        ("DELETE", f"/networks/{network}"),
        ("POST", f"/networks/{network}/connect"),
        ("POST", "/networks/prune"),
        ("GET", "/v1.41/../containers/json"),
        ("GET", "/v1.41//containers/json?all=1"),
        ("GET", "/version/../info"),
        ("GET", "/version%2f..%2finfo"),
        ("GET", "/images/../containers/x/json"),
        ("GET", "/images/galaxy/game:1/json?x=1"),
        ("GET", "http://docker/info"),
        ("POST", "/version"),
        ("HEAD", "/version"),
        ("CONNECT", "docker:2375"),
        ("OPTIONS", "*"),
    )


def url(path: str) -> str:
    """Return the path as it stands in a request."""
    return quote(path, safe="/:?=&*%.-_")


RAW: tuple[tuple[str, Callable[[bytes], bytes]], ...] = (
    (
        "two lengths",
        lambda good: b"Content-Length: 3\r\nContent-Length: %d\r\n\r\n%b" % (len(good), good),
    ),
    (
        "length and chunks",
        lambda good: (
            b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(good), good)
        ),
    ),
    (
        "chunks by another name",
        lambda good: b"Transfer-Encoding: xchunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(good), good),
    ),
    (
        "a chunk of a wrong size",
        lambda good: b"Transfer-Encoding: chunked\r\n\r\n-1\r\n%b\r\n0\r\n\r\n" % good,
    ),
    (
        "an upgrade",
        lambda good: b"Connection: Upgrade\r\nUpgrade: tcp\r\nContent-Length: %d\r\n\r\n%b" % (len(good), good),
    ),
)
"""Heads, and what follows them, under which even the driver's own body of a create does not pass."""


async def send(proxy: tuple[str, int], method: str, target: str, rest: bytes = b"\r\n") -> tuple[int, bytes]:
    """Send a request byte by byte as it is written here, and return the answer's status and body; 0 for none."""
    reader, writer = await asyncio.open_connection(*proxy)
    writer.write(f"{method} {target} HTTP/1.1\r\nHost: docker\r\nConnection: close\r\n".encode() + rest)
    try:
        answer = await reader.read()
    except ConnectionResetError:
        answer = b""
    writer.close()
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]) if head else 0, body


def framed(body: bytes) -> bytes:
    """Return the end of a head, and the body."""
    return b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
