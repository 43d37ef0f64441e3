"""A Docker daemon in memory: what the driver `docker` asks for, and everything else is noted and done with 200."""

import asyncio
import hashlib
import itertools
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Self

from aiohttp import web

Json = dict[str, Any]
IMAGE: Json = {
    "Id": "sha256:" + 64 * "a",
    "RepoTags": ["galaxy/game:1"],
    "Config": {"User": "1000", "Volumes": {"/data": {}}},
}


class FakeDaemon:
    """Containers, networks and images by id; `calls` are the requests that were not questions, as they came."""

    def __init__(self) -> None:
        self.images: dict[str, Json] = {"galaxy/game:1": IMAGE, IMAGE["Id"]: IMAGE}
        self.containers: dict[str, Json] = {}
        self.networks: dict[str, Json] = {}
        self.asked: list[str] = []
        self.calls: list[tuple[str, str, bytes]] = []
        self.endless = False
        """Whether the stream of events goes on until its reader leaves, which `left` says."""
        self.left = asyncio.Event()
        self._numbers = itertools.count(1)
        self.address = ""

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[Self]:
        """Serve at a free port."""
        runner = web.ServerRunner(web.Server(self._answer, handler_cancellation=True))
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.address = f"tcp://127.0.0.1:{runner.addresses[0][1]}"
        yield self
        await runner.cleanup()

    def add_network(self, name: str, labels: dict[str, str] | None = None, **more: Any) -> str:
        """Make a network and return its id."""
        identity = self._identity()
        base = {"Driver": "bridge", "Internal": True, "Options": {}, "Created": identity}
        pools = {"Config": [{"Subnet": "172.30.0.0/16"}]}
        self.networks[identity] = {"Id": identity, "Name": name, "Labels": labels or {}, "IPAM": pools, **base, **more}
        return identity

    def add_container(self, name: str, labels: dict[str, str] | None = None, **config: Any) -> str:
        """Make a container and return its id."""
        identity = self._identity()
        self.containers[identity] = {
            "Id": identity,
            "Name": f"/{name}",
            "Created": "2026-01-01T00:00:00.0Z",
            "Config": {"Labels": labels or {}, "User": "1000", "Image": "galaxy/game:1", **config},
            "State": {"Status": "created", "ExitCode": 0},
            "NetworkSettings": {"Networks": {"engines": {"IPAddress": "127.0.0.1"}}},
        }
        return identity

    def _identity(self) -> str:
        return hashlib.sha256(str(next(self._numbers)).encode()).hexdigest()

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        body = await request.read()
        self.asked.append(f"{request.method} {request.path_qs}")
        parts = request.path.strip("/").split("/")
        if parts[0] == "events" and self.endless:
            return await self._stream(request)
        if request.method == "GET":
            return self._question(request, parts)
        self.calls.append((request.method, request.path_qs, body))
        return self._change(request, parts, json.loads(body or b"{}"))

    async def _stream(self, request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            await asyncio.Event().wait()
        finally:
            self.left.set()
        return response

    def _question(self, request: web.BaseRequest, parts: list[str]) -> web.Response:
        if parts == ["version"]:
            return web.json_response({"ApiVersion": "1.41"})
        if parts == ["networks"]:
            return web.json_response(list(self.networks.values()))
        if parts == ["containers", "json"]:
            return web.json_response([])
        if parts[0] == "events":
            return web.Response(text="")
        found = {
            "containers": lambda: self._container(parts[1]),
            "networks": lambda: self.networks.get(parts[1]),
            "images": lambda: self.images.get("/".join(parts[1:-1])),
        }[parts[0]]()
        if parts[-1] in {"logs", "archive"}:
            self.calls.append(("GET", request.path_qs, b""))
        return web.json_response(found) if found else web.json_response({"message": "none"}, status=404)

    def _container(self, name: str) -> Json | None:
        by_name = (each for each in self.containers.values() if each["Name"] == f"/{name}")
        return self.containers.get(name) or next(by_name, None)

    def _change(self, request: web.BaseRequest, parts: list[str], body: Json) -> web.Response:
        match request.method, parts:
            case "POST", ["networks", "create"]:
                return web.json_response(
                    {"Id": self.add_network(body.pop("Name"), body.pop("Labels"), **body)}, status=201
                )
            case "POST", ["containers", "create"]:
                made = self.add_container(request.query["name"], body["Labels"], Image=body["Image"])
                return web.json_response({"Id": made}, status=201)
            case "POST", ["containers", name, "start"]:
                self.containers[name]["State"]["Status"] = "running"
            case "DELETE", [kind, name]:
                getattr(self, kind).pop(name)
        return web.json_response({})
