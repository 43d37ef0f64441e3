"""One operation, compiled: what is known before a request is computed once, when routes are installed."""

from collections.abc import Callable
from typing import Any

from aiohttp.web import BaseRequest, StreamResponse
from pydantic import BaseModel

from galaxy_chassis.http.body import read
from galaxy_chassis.http.problems import FieldError
from galaxy_chassis.http.response import AnyResponse, empty_response, html_response, json_response
from galaxy_kernel.http import body
from galaxy_kernel.http.access import AccessControl, Trust
from galaxy_kernel.http.audit import audited, target_of
from galaxy_kernel.http.call import Call, Response
from galaxy_kernel.http.faults import invalid_request
from galaxy_kernel.http.foreign import demands_json, refuse_foreign_page
from galaxy_kernel.http.parameters import refuse_query
from galaxy_kernel.http.route import Access, Route
from galaxy_kernel.http.signature import Signature

USUAL_BODY = 16_384
"""Bytes of a body on a route of access `public` or `user`, unless the route says otherwise: anybody can sign in."""
_ANYBODYS = (Access.PUBLIC, Access.USER)


class Endpoint:
    """A route with its plugin and its signature; handles a request: returns the response or raises a Problem."""

    __slots__ = (
        *(
            "_access",
            "_audited",
            "_handler",
            "_json_always",
            "_limit",
            "_parsing",
            "_recorded",
            "_respond",
            "_serialise",
            "_takes_body",
        ),
        *("plugin", "route", "signature"),
    )

    def __init__(
        self, plugin: str, route: Route, signature: Signature, *, max_body: int, parsing: body.Parsing
    ) -> None:
        self.plugin, self.route, self.signature = plugin, route, signature
        self._access, self._handler = route.access, route.handler
        self._audited = route.access is Access.ADMIN and route.method != "GET"
        self._parsing = parsing
        usual = min(max_body, USUAL_BODY) if route.access in _ANYBODYS else max_body
        self._limit = usual if route.max_body is None else route.max_body
        self._recorded = route.access is Access.ADMIN and route.personal
        self._json_always = demands_json(route)
        self._takes_body = signature.body is not None or signature.form is not None
        self._serialise = _serialiser(route, signature)
        self._respond = html_response if signature.html else json_response

    async def answer(
        self, request: BaseRequest, segments: list[str], access: AccessControl, request_id: str, client_address: str
    ) -> AnyResponse:
        """Establish who calls, read what was sent, run the handler and write its answer."""
        headers = request.headers
        user = admin = None
        if self._access is Access.USER:
            user = access.user(headers, client_address)
        elif self._access is Access.ADMIN:
            if self._audited:
                trust = access.trust(headers, request.remote or "")
                refuse_foreign_page(headers, forwarded=trust is not Trust.NONE)
            admin = await access.admin(headers, self.route, client_address)
        elif self._access is Access.INTERNAL:
            access.internal(headers)
        call = Call(self.route, request_id, headers, client_address, user=user, admin=admin)
        log = access.audit_log() if self._audited or self._recorded else None
        if log is None:
            return await self._run(request, segments, call)
        target = target_of([parameter.name for parameter in self.signature.path], segments)
        if not self._audited:
            await log.read(call.admin, self.route.name, target, request_id=request_id)
            return await self._run(request, segments, call)
        return await audited(log, call, target, lambda: self._run(request, segments, call))

    async def _run(self, request: BaseRequest, segments: list[str], call: Call) -> AnyResponse:
        if self._json_always:
            body.check_media_type(request.headers.get("Content-Type"))
        arguments = self._arguments(request, segments, call)
        if request.body_exists or self._takes_body:
            await self._take_body(request, arguments)
        value = await self._handler(**arguments)
        status, headers = self.route.status, None
        if type(value) is Response:
            headers, status = value.headers, value.status or status
            value = value.value
        if self._serialise is not None:
            return self._respond(status, self._serialise(value), call.request_id, headers)
        if isinstance(value, StreamResponse):
            return value
        if value is not None:
            raise TypeError(f"handler of {self.route.name!r} returned {type(value).__name__} where None is declared")
        return empty_response(204, call.request_id, headers)

    def _arguments(self, request: BaseRequest, segments: list[str], call: Call) -> dict[str, Any]:
        signature = self.signature
        arguments: dict[str, Any] = {"call": call} if signature.wants_call else {}
        if segments:
            faults: list[FieldError] = []
            for parameter, segment in zip(signature.path, segments, strict=True):
                arguments[parameter.name] = parameter.parse(segment, faults)
            if faults:
                raise invalid_request(faults)
        raw_query = request.rel_url.raw_query_string
        if signature.query is not None:
            arguments["query"] = signature.query.parse(raw_query)
        elif raw_query:
            refuse_query(raw_query)
        return arguments

    async def _take_body(self, request: BaseRequest, arguments: dict[str, Any]) -> None:
        raw = await read(request, self._limit)
        if self.signature.form is not None:
            arguments["form"] = self.signature.form.parse(raw, request.headers.get("Content-Type"))
        elif self.signature.body is None:
            body.refuse(raw)
        elif not raw and self.signature.body_optional:
            arguments["body"] = None
        else:
            if raw:
                body.check_media_type(request.headers.get("Content-Type"))
            arguments["body"] = await self._parsing.parse(raw, self.signature.body)


def _serialiser(route: Route, signature: Signature) -> Callable[[Any], bytes] | None:
    """Return the serialiser of the handler's value; None where there is no value."""
    adapter, model = signature.answer, signature.answer_model
    if adapter is None:
        return None
    if signature.raw_json:
        return lambda value: bytes(value.document)
    if signature.html:
        return lambda value: str(value.document).encode()
    if model is None:
        return lambda value: adapter.dump_json(value, warnings="error", by_alias=True)
    to_json: Callable[..., bytes] = model.__pydantic_serializer__.to_json
    unparameterised: type[BaseModel] | None = model.__pydantic_generic_metadata__["origin"]
    plain_to_json: Callable[..., bytes] = (unparameterised or model).__pydantic_serializer__.to_json

    def serialise(value: Any) -> bytes:
        if isinstance(value, model):
            return to_json(value, by_alias=True)
        if unparameterised is not None and type(value) is unparameterised:  # Page(…) where Page[T] is declared
            return plain_to_json(value, by_alias=True)
        raise TypeError(f"handler of {route.name!r} returned {type(value).__name__}, not {model.__name__}")

    return serialise
