"""The calls that pass: those that the driver `docker` makes, each with its own parameters and nothing else."""

import json
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import msgspec
from aiohttp import web

from galaxy_engine.drivers.docker import containers
from galaxy_engine.drivers.docker.driver import EVENTS
from galaxy_engine.drivers.docker.networks import PROBE
from galaxy_engine.drivers.docker.references import Reference, parse
from galaxy_engine.proxy import bodies
from galaxy_engine.proxy.daemon import Upstream
from galaxy_engine.proxy.policy import Json, Policy, RefusedError, checked_owner

_ID = r"(?P<id>[0-9a-f]{64})"
_NAME = r"galaxy-[0-9a-f]{8}-[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}-\d{1,10}"
_LOGIN = "X-Registry-Auth"
MOST_SUBNETS = 64


class Call(msgspec.Struct, frozen=True):
    """One request: what its path holds, its parameters, and its body if it has one."""

    request: web.BaseRequest
    found: Mapping[str, str]
    params: Mapping[str, str]
    body: bytes


Handler = Callable[["Routes", Call], Awaitable[web.StreamResponse]]


class Route(msgspec.Struct, frozen=True):
    """A call that passes."""

    method: str
    path: re.Pattern[str]
    params: Mapping[str, re.Pattern[str]]
    handler: Handler
    has_body: bool = False


class Routes:
    """Answers calls by the policy."""

    def __init__(self, policy: Policy, daemon: Upstream) -> None:
        self._policy = policy
        self._daemon = daemon
        self._subnets: dict[str, None] = {}
        """Those that the daemon chose for probes, the oldest first."""

    async def version(self, call: Call) -> web.StreamResponse:
        """Say which daemon it is."""
        return await self._daemon.relay(call.request, "GET", "/version")

    async def listing(self, call: Call) -> web.StreamResponse:
        """List the stack's containers of one owner, whatever else is asked for."""
        filters = _filters(call, {"label"})
        params = {"all": "1", "filters": json.dumps({"label": self._labels(filters.get("label", ()))})}
        return await self._daemon.relay(call.request, "GET", "/containers/json", params)

    async def events(self, call: Call) -> web.StreamResponse:
        """Follow what happens to the stack's containers of one owner."""
        labels = self._labels(_filters(call, {"type", "label", "event"}).get("label", ()))
        filters = {"type": ["container"], "label": labels, "event": EVENTS}
        return await self._daemon.relay(call.request, "GET", "/events", {"filters": json.dumps(filters)})

    def _labels(self, wanted: Sequence[str]) -> list[str]:
        """Return the labels to filter by. Raise `RefusedError` unless the owner's is among those that are wanted."""
        found = dict(label.partition("=")[::2] for label in wanted)
        owner = checked_owner(found)
        game = [f"galaxy.game={found['galaxy.game']}"] if "galaxy.game" in found else []
        return ["galaxy.backend=1", f"galaxy.stack={self._policy.stack}", f"galaxy.owner={owner}", *game]

    async def create(self, call: Call) -> web.StreamResponse:
        """Create an engine's container, as the driver would."""
        body = bodies.parse(call.body)
        asked = bodies.asked_container(body)
        checked_owner(asked.labels)
        engine = containers.identity(asked.labels)
        if engine is None or call.params["name"] != engine.name:
            raise RefusedError("name: it is not that of the engine which the labels name")
        image = await self._image(asked.image)
        if image is None:
            raise RefusedError(f"No such image: {asked.image}", 404)
        await self._engines_network(asked.host_config.network_mode)
        made = bodies.container(body, image, self._policy)
        return await self._daemon.relay(call.request, "POST", "/containers/create", {"name": engine.name}, made)

    async def inspect(self, call: Call) -> web.StreamResponse:
        """Show a container. Of one that is not ours and has an engine's name, no more than that it is there."""
        name = call.found["container"]
        seen = await self._daemon.find(f"/containers/{name}/json")
        if seen is None:
            raise _nothing(name)
        if not self._is_ours(seen):
            if not re.fullmatch(_NAME, name):
                raise _nothing(name)
            seen = {"Id": seen["Id"], "Name": seen["Name"], "Config": {"Labels": {}}}
        return web.json_response(seen)

    async def act(self, call: Call) -> web.StreamResponse:
        """Do to a container of ours what the path says."""
        identity = call.found["id"]
        seen = await self._daemon.find(f"/containers/{identity}/json")
        if seen is None or not self._is_ours(seen) or seen["Id"] != identity:
            raise _nothing(identity)
        path = f"/containers/{identity}{call.found['action']}"
        return await self._daemon.relay(call.request, call.request.method, path, call.params)

    def _is_ours(self, seen: Json) -> bool:
        return self._policy.is_ours(seen["Config"].get("Labels") or {})

    async def image(self, call: Call) -> web.StreamResponse:
        """Show an image that may run."""
        found = await self._image(call.found["image"])
        if found is None:
            raise RefusedError(f"No such image: {call.found['image']}", 404)
        return web.json_response(found)

    async def _image(self, text: str) -> Json | None:
        """Return what the daemon says of an image that may run, None if it has none."""
        reference = parse(text)
        if reference is None or (reference.pullable and not self._policy.has_image(reference)):
            return None
        found: Json | None = await self._daemon.find(f"/images/{text}/json")
        if found is None or reference.pullable:
            return found
        names = [*(found.get("RepoTags") or ()), *(found.get("RepoDigests") or ())]
        return found if any(self._policy.has_image(name) for name in map(parse, names) if name) else None

    async def pull(self, call: Call) -> web.StreamResponse:
        """Pull an image that may run."""
        tag = call.params["tag"]
        text = f"{call.params['fromImage']}{'@' if ':' in tag else ':'}{tag}"
        reference = parse(text)
        if reference is None or not self._may_be_pulled(reference):
            raise RefusedError(f"images of {call.params['fromImage']} may not run here")
        login = call.request.headers.get(_LOGIN)
        headers = {} if login is None else {_LOGIN: login}
        return await self._daemon.relay(
            call.request, "POST", "/images/create", {"fromImage": reference.repository, "tag": tag}, headers=headers
        )

    def _may_be_pulled(self, reference: Reference) -> bool:
        return reference.pullable and self._policy.has_image(reference)

    async def networks(self, call: Call) -> web.StreamResponse:
        """List the engines' networks of a name, or the probes."""
        listed: list[Json] = await self._daemon.find("/networks", call.params) or []
        return web.json_response([seen for seen in listed if self._policy.has_network(seen["Name"])])

    async def network(self, call: Call) -> web.StreamResponse:
        """Show one of the engines' networks."""
        seen = await self._engines_network(call.found["id"])
        if seen["Name"].startswith(PROBE) and self._policy.is_ours(seen.get("Labels") or {}):
            self._remember(seen)
        return web.json_response(seen)

    def _remember(self, probe: Json) -> None:
        for pool in probe["IPAM"]["Config"]:
            self._subnets[pool["Subnet"]] = None
        while len(self._subnets) > MOST_SUBNETS:
            del self._subnets[next(iter(self._subnets))]

    async def _engines_network(self, identity: str) -> Json:
        """Return what the daemon says of one of the engines' networks. Raise `RefusedError` if it is another."""
        seen: Json | None = await self._daemon.find(f"/networks/{identity}") if re.fullmatch(_ID, identity) else None
        if seen is None or seen["Id"] != identity or not self._policy.has_network(seen["Name"]):
            raise RefusedError(f"network {identity} not found", 404)
        return seen

    async def create_network(self, call: Call) -> web.StreamResponse:
        """Create the engines' network, or a probe, as the driver would."""
        body = bodies.parse(call.body)
        asked = bodies.asked_network(body)
        checked_owner(asked.labels)
        if not self._policy.has_network(asked.name):
            raise RefusedError(f"Name: {asked.name!r} is not the engines' network")
        made = bodies.network(body, frozenset(self._subnets), self._policy)
        return await self._daemon.relay(call.request, "POST", "/networks/create", body=made)

    async def delete_network(self, call: Call) -> web.StreamResponse:
        """Remove a network of our making."""
        seen = await self._engines_network(call.found["id"])
        if not self._policy.is_ours(seen.get("Labels") or {}):
            raise RefusedError(f"the network {seen['Name']} is not of this stack's making")
        return await self._daemon.relay(call.request, "DELETE", f"/networks/{seen['Id']}")


def _nothing(name: str) -> RefusedError:
    return RefusedError(f"No such container: {name}", 404)


def _filters(call: Call, known: set[str]) -> Mapping[str, list[str]]:
    """Return the parameter `filters`. Raise `RefusedError` for filters that are not known."""
    try:
        found = msgspec.convert(bodies.parse(call.params["filters"].encode()), dict[str, list[str]])
    except msgspec.ValidationError as error:
        raise RefusedError(f"filters: {error}", 400) from None
    if unknown := found.keys() - known:
        raise RefusedError(f"filters: {', '.join(sorted(unknown))} is not known", 400)
    return found


def _route(method: str, path: str, handler: Handler, /, *, has_body: bool = False, **params: str) -> Route:
    patterns = {name: re.compile(pattern, re.ASCII) for name, pattern in params.items()}
    return Route(method, re.compile(rf"(?:/v1\.\d\d)?{path}", re.ASCII), patterns, handler, has_body)


_ANY, _YES = r".{1,4096}", "1|[Tt]rue"
_CONTAINER = f"/containers/{_ID}"
ROUTES: tuple[Route, ...] = (
    _route("GET", "/version", Routes.version),
    _route("GET", "/events", Routes.events, filters=_ANY),
    _route("GET", "/containers/json", Routes.listing, all="1", filters=_ANY),
    _route("POST", "/containers/create", Routes.create, has_body=True, name=_NAME),
    _route("GET", rf"/containers/(?P<container>[0-9a-f]{{64}}|{_NAME})/json", Routes.inspect),
    _route("POST", f"{_CONTAINER}(?P<action>/start)", Routes.act),
    _route("POST", f"{_CONTAINER}(?P<action>/stop)", Routes.act, t=r"\d{1,6}"),
    _route("POST", f"{_CONTAINER}(?P<action>/wait)", Routes.act, condition="removed"),
    _route("DELETE", f"{_CONTAINER}(?P<action>)", Routes.act, force=_YES, v=_YES),
    _route("GET", f"{_CONTAINER}(?P<action>/logs)", Routes.act, stdout="1", stderr="1", tail=r"\d{1,9}"),
    _route("GET", f"{_CONTAINER}(?P<action>/archive)", Routes.act, path="/etc/passwd"),
    _route("GET", "/images/(?P<image>[A-Za-z0-9][A-Za-z0-9._:/@-]*)/json", Routes.image),
    _route("POST", "/images/create", Routes.pull, fromImage=_ANY, tag=r"[\w.:-]{1,128}"),
    _route("GET", "/networks", Routes.networks, filters=_ANY),
    _route("POST", "/networks/create", Routes.create_network, has_body=True),
    _route("GET", f"/networks/{_ID}", Routes.network),
    _route("DELETE", f"/networks/{_ID}", Routes.delete_network),
)


def find(method: str, path: str) -> tuple[Route, Mapping[str, str]]:
    """Return the route of a path as it came, and what it holds. Raise `RefusedError` if there is none."""
    if ".." not in path and "//" not in path:
        for route in ROUTES:
            if route.method == method and (match := route.path.fullmatch(path)):
                return route, match.groupdict()
    raise RefusedError(f"{method} is not allowed there")


def parameters(route: Route, given: Sequence[tuple[str, Any]]) -> Mapping[str, str]:
    """Return the parameters. Raise `RefusedError` unless they are the route's, each of them once."""
    found = {name: str(value) for name, value in given}
    if len(found) != len(given):
        raise RefusedError("a parameter is given twice", 400)
    if found.keys() != route.params.keys():
        names = ", ".join(sorted(found.keys() ^ route.params.keys()))
        raise RefusedError(f"the parameters are not those of the driver: {names}")
    for name, pattern in route.params.items():
        if not pattern.fullmatch(found[name]):
            raise RefusedError(f"the parameter {name} is not as the driver sends it")
    return found
