"""The gRPC listener (SPEC P-1): the plugins' services behind the gateway's token, health and reflection."""

import asyncio
import hmac
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, aclosing, nullcontext
from typing import Any, cast

import grpc
import grpc.aio
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from galaxy_chassis.errors import BootError
from galaxy_chassis.logs import get_logger
from galaxy_chassis.request_context import RequestContext, current_request, new_request_id
from galaxy_kernel.database.conditions import Conditions
from galaxy_kernel.errors import PhaseError, PluginError
from galaxy_kernel.rpc.service import RpcService

TOKEN_KEY = "x-gateway-token"  # noqa: S105  a metadata key, not a token
REQUEST_ID_KEY = "x-request-id"
MAX_CALLS = 1024
"""Calls with the token at once; one more is refused with RESOURCE_EXHAUSTED."""
MAX_CHECKS = 64
"""Health checks at once by callers that did not show the token; one more ends the oldest, which sends no request."""
MAX_WATCHES = 16
"""Health watches at once by callers that did not show the token; one more is refused with RESOURCE_EXHAUSTED."""
MAX_STREAMS = 100
"""Calls at once on one connection; a client keeps the next ones back until one ends."""

_OPTIONS = (
    ("grpc.so_reuseport", 0),  # or a second process would silently share the port
    ("grpc.max_receive_message_length", 1024 * 1024),
    ("grpc.max_send_message_length", 4 * 1024 * 1024),  # a client's default limit
    ("grpc.server_handshake_timeout_ms", 10_000),  # a connection that says nothing keeps a descriptor no longer
    ("grpc.keepalive_time_ms", 30_000),  # a gateway that has silently gone is noticed within 40 s
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    # the gateway may send pings every 10 s (gRPC proposal A8); half of that, since one that is early counts against it
    ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
    ("grpc.max_concurrent_streams", MAX_STREAMS),
    # else calls of a burst that follow right on others' ends are refused, though the client has kept to the limit
    ("grpc.http.overload_protection", 0),
)
_HEALTH = health.SERVICE_NAME
_KERNEL = "kernel"
_FIRST_REQUEST = 5.0
"""Seconds in which a caller without the token sends its request."""
_CHECK_TIMEOUT = 1.0
_LAST_WRITES = 1.0
"""Seconds at most for last messages to reach watchers of the health service and ended streams."""

_log = get_logger("galaxy_kernel.rpc.server")
_well_formed = re.compile(r"[A-Za-z0-9._-]{8,64}").fullmatch

Observer = Callable[[str, str | None], AbstractContextManager[object]]
"""Returns a context manager around a call, for its method, `/package.Service/Method`, and its `traceparent`."""


class RpcServer:
    """The listener. States: made → bound → draining → closed.

    While draining, health says NOT_SERVING and new calls are refused with UNAVAILABLE. Unary calls are finished.
    A call that streams its answer is ended at once with UNAVAILABLE, and its client resumes elsewhere.
    """

    def __init__(
        self,
        listen_address: str,
        *,
        token: str | None,
        services: Sequence[tuple[str, RpcService]],
        observer: Observer | None = None,
        variable: str = "BACKEND_PUSH_LISTEN_ADDR",
    ) -> None:
        """Create a server that does not listen yet, for services passed with their plugins' names.

        Raise PluginError when two services have one name. `variable` is the setting that `listen_address`
        comes from, for the message when it is taken.
        """
        self._listen_address, self._variable = listen_address, variable
        self._services, self._token = services, token
        self._calls = _Calls(_owners(services), token, observer or _unobserved)
        self._health = health.aio.HealthServicer()
        self._server: grpc.aio.Server | None = None
        self.address = listen_address
        """Where it listens, `HOST:PORT`; once started, with the port it got."""

    @property
    def bound(self) -> bool:
        """Whether it accepts calls."""
        return self._server is not None and not self._calls.draining

    @property
    def crowded_out(self) -> int:
        """Health calls without the token that were refused, or ended for newer ones, so far."""
        return self._calls.crowded_out

    async def fault(self) -> str:
        """Return why a gateway that connects now would not be answered, empty where it would; makes a call as one."""
        if not self.bound:
            return "the gRPC listener is not bound"
        options = (("grpc.use_local_subchannel_pool", 1), ("grpc.enable_http_proxy", 0))
        metadata = ((TOKEN_KEY, self._token),) if self._token else ()
        async with grpc.aio.insecure_channel(self.address, options=options) as channel:
            check = health_pb2_grpc.HealthStub(channel).Check
            try:
                await check(health_pb2.HealthCheckRequest(), metadata=metadata, timeout=_CHECK_TIMEOUT)
            except grpc.aio.AioRpcError as error:
                return f"the gRPC listener does not answer a call: {error.code().name}: {error.details()}"
        return ""

    async def start(self) -> None:
        """Listen. Raise BootError, naming the variable, when the address cannot be had."""
        server = grpc.aio.server(interceptors=[self._calls], options=_OPTIONS)
        try:
            self._add_services(server)
            port = self._bind(server)
            for _, service in self._services:
                await self._health.set(service.name, health_pb2.HealthCheckResponse.SERVING)
            await server.start()
        except BaseException:
            await server.stop(None)
            raise
        self._server = server
        self.address = f"{self._listen_address.rpartition(':')[0]}:{port}"

    async def stop(self, grace: float) -> None:
        """Drain and close; unary calls have `grace` seconds to finish. Safe to call in any state, and again."""
        self._calls.draining = True
        server, self._server = self._server, None
        if server is None:
            return
        await self._health.enter_graceful_shutdown()
        self._calls.end_streams()
        if not await self._calls.finished(grace):
            _log.warning("rpc_calls_cut_off", calls=len(self._calls.unary), after_seconds=grace)
        await server.stop(_LAST_WRITES)

    def _add_services(self, server: grpc.aio.Server) -> None:
        for plugin, service in self._services:
            try:
                service.add(server)
            except Exception as error:
                raise PhaseError(plugin, f"adding its gRPC service {service.name!r}", error) from error
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        names = [service.name for _, service in self._services]
        reflection.enable_server_reflection([*names, _HEALTH, reflection.SERVICE_NAME], server)

    def _bind(self, server: grpc.aio.Server) -> int:
        try:
            return int(server.add_insecure_port(self._listen_address))
        except RuntimeError as error:  # grpc reports no reason
            raise BootError(
                f"{self._variable}: cannot listen on {self._listen_address}: stop the process that has that port, "
                "or choose a free address of this machine"
            ) from error


class _Calls(grpc.aio.ServerInterceptor):  # type: ignore[misc]  # grpc.aio has no types
    """Handles what surrounds every call: token, limits, request context, span, failures, and the end when draining.

    Callers with and without the token share no limit, so that nobody without it keeps a gateway out. That is why gRPC's
    own `maximum_concurrent_rpcs`, which counts both, is not set.
    """

    def __init__(self, owners: Mapping[str, str], token: str | None, observer: Observer) -> None:
        self._owners, self._observer = owners, observer
        self._token = token.encode() if token else None
        self.draining = False
        self.unary: set[asyncio.Task[Any]] = set()
        self._streams: set[asyncio.Task[Any]] = set()
        self._checks: dict[asyncio.Task[Any], None] = {}
        """Health checks without the token, the oldest first."""
        self._watches = 0
        self._conditions = Conditions(_log)
        self.crowded_out = 0
        self._idle = asyncio.Event()
        self._idle.set()

    async def intercept_service(self, continuation: Callable[[Any], Awaitable[Any]], details: Any) -> Any:
        """Refuse the call, or wrap its handler."""
        method: str = details.method
        service = method[1:].rpartition("/")[0]
        metadata = dict(details.invocation_metadata)
        if service == _HEALTH:
            handler = await continuation(details)
            return handler if handler is None or self._shows_token(metadata) else self._limited(handler)
        refusal = self._refusal(metadata)
        if refusal is not None:
            return _refusing(*refusal)
        handler = await continuation(details)
        if handler is None:
            return None
        given = metadata.get(REQUEST_ID_KEY)
        request_id = given if isinstance(given, str) and _well_formed(given) else new_request_id()
        call = _Call(method, self._owners.get(service, _KERNEL), request_id, metadata.get("traceparent"))
        return self._wrapped(handler, call)

    def end_streams(self) -> None:
        """End the calls that stream their answers."""
        for task in self._streams:
            task.cancel()

    async def finished(self, grace: float) -> bool:
        """Wait for the calls in progress, `grace` seconds at most; return whether all of them ended."""
        try:
            async with asyncio.timeout(grace):
                await self._idle.wait()
        except TimeoutError:
            return False
        return True

    def _refusal(self, metadata: Mapping[str, str | bytes]) -> tuple[grpc.StatusCode, str] | None:
        if self._token is None:
            return (
                grpc.StatusCode.FAILED_PRECONDITION,
                "gRPC is closed here: set BACKEND_GATEWAY_TOKEN on the backend to open it.",
            )
        if not self._shows_token(metadata):
            return (
                grpc.StatusCode.UNAUTHENTICATED,
                f"This call needs the gateway's token in the metadata {TOKEN_KEY}.",
            )
        if self.draining:
            return grpc.StatusCode.UNAVAILABLE, _STOPPING
        return None

    def _shows_token(self, metadata: Mapping[str, str | bytes]) -> bool:
        given = metadata.get(TOKEN_KEY, "")
        given = given.encode() if isinstance(given, str) else given
        return self._token is not None and hmac.compare_digest(given, self._token)

    def _limited(self, handler: Any) -> Any:
        """Return a handler for a health call without the token, which has one of few places.

        It is a streaming one, so that it has its place before the request arrives, and time to send it is limited.
        """
        run = self._watch if handler.response_streaming else self._check

        async def limited(requests: Any, context: Any) -> None:
            await run(handler, requests, context)

        return grpc.stream_stream_rpc_method_handler(limited, handler.request_deserializer, handler.response_serializer)

    async def _watch(self, handler: Any, requests: Any, context: Any) -> None:
        if self._watches >= MAX_WATCHES:
            self.crowded_out += 1
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, _CROWDED)
        self._watches += 1
        try:
            await handler.unary_stream(await _first(requests, context), context)
        finally:
            self._watches -= 1

    async def _check(self, handler: Any, requests: Any, context: Any) -> None:
        task = cast("asyncio.Task[Any]", asyncio.current_task())
        self._end_oldest_check()
        self._checks[task] = None
        try:
            await context.write(await handler.unary_unary(await _first(requests, context), context))
        except asyncio.CancelledError:
            if task in self._checks or task.uncancel() > 0:
                raise
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, _CROWDED)
        finally:
            self._checks.pop(task, None)

    def _end_oldest_check(self) -> None:
        """Make room for one more check without the token: an honest one is over before it is the oldest."""
        while len(self._checks) >= MAX_CHECKS:
            oldest = next(iter(self._checks))
            del self._checks[oldest]
            self.crowded_out += 1
            oldest.cancel()

    def _wrapped(self, handler: Any, call: "_Call") -> Any:
        """Return a handler for the same kind of request and answer that runs the original one."""
        make = _MAKERS[handler.request_streaming, handler.response_streaming]
        if handler.response_streaming:
            behaviour = handler.stream_stream if handler.request_streaming else handler.unary_stream
        else:
            behaviour = handler.stream_unary if handler.request_streaming else handler.unary_unary
        tasks = self._streams if handler.response_streaming else self.unary

        async def run(request: Any, context: Any) -> Any:
            return await self._run(behaviour, request, context, call, tasks)

        return make(run, handler.request_deserializer, handler.response_serializer)

    def _status_of(self, error: Exception, call: "_Call") -> tuple[grpc.StatusCode, str]:
        """Return the status for an unexpected exception, and log it: UNAVAILABLE, which a client tries again, for
        conditions of the database.
        """
        condition = self._conditions.noted(error, plugin=call.plugin, method=call.method)
        if condition is not None:
            return grpc.StatusCode.UNAVAILABLE, condition.detail
        _log.error("rpc_failed", plugin=call.plugin, method=call.method, exc_info=error)
        detail = f"The service failed at this call. Quote the request id {call.request_id} to its operators."
        return grpc.StatusCode.INTERNAL, detail

    async def _run(
        self, behaviour: Callable[..., Any], request: Any, context: Any, call: "_Call", tasks: "set[asyncio.Task[Any]]"
    ) -> Any:
        if len(self.unary) + len(self._streams) >= MAX_CALLS:
            await context.abort(
                grpc.StatusCode.RESOURCE_EXHAUSTED, f"{MAX_CALLS} calls are open here: call another replica."
            )
        task = cast("asyncio.Task[Any]", asyncio.current_task())
        # gRPC runs each call in a task of its own, so its request context ends with it
        current_request.set(RequestContext(call.request_id, call.plugin))
        tasks.add(task)
        self._idle.clear()
        try:
            with self._observer(call.method, call.traceparent):
                return await _answer(behaviour(request, context), context)
        except grpc.aio.AbortError:
            raise
        except asyncio.CancelledError:
            if not self.draining or tasks is not self._streams or task.uncancel() > 0:
                raise
            await context.abort(grpc.StatusCode.UNAVAILABLE, _STOPPING)
        except Exception as error:
            await context.abort(*self._status_of(error, call))
        finally:
            tasks.discard(task)
            if not self.unary and not self._streams:
                self._idle.set()


class _Call:
    """What is known of a call before it begins."""

    __slots__ = ("method", "plugin", "request_id", "traceparent")

    def __init__(self, method: str, plugin: str, request_id: str, traceparent: object) -> None:
        self.method, self.plugin, self.request_id = method, plugin, request_id
        self.traceparent = traceparent if isinstance(traceparent, str) else None


_STOPPING = "The backend is stopping: another replica will answer."
_CROWDED = (
    "Too many health calls are open here without the gateway's token: check again, or send the token in the metadata "
    f"{TOKEN_KEY}."
)

_MAKERS: Mapping[tuple[bool, bool], Callable[..., Any]] = {
    (False, False): grpc.unary_unary_rpc_method_handler,
    (False, True): grpc.unary_stream_rpc_method_handler,
    (True, False): grpc.stream_unary_rpc_method_handler,
    (True, True): grpc.stream_stream_rpc_method_handler,
}
"""Makers of handlers, by whether the request and whether the answer is a stream."""


async def _answer(result: Awaitable[Any] | AsyncIterator[Any], context: Any) -> Any:
    """Return the answer of a servicer's method, or send it message by message."""
    if not hasattr(result, "__aiter__"):
        return await result
    async with aclosing(result):  # type: ignore[type-var]  # an async generator
        async for message in result:
            await context.write(message)
    return None


async def _first(requests: Any, context: Any) -> Any:
    """Return the first request of a stream, or end a call that sends none in time."""
    try:
        async with asyncio.timeout(_FIRST_REQUEST):
            async for request in requests:
                return request
    except TimeoutError:
        await context.abort(grpc.StatusCode.DEADLINE_EXCEEDED, f"No request came within {_FIRST_REQUEST:g} s.")
    return await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "The call has no request.")


def _refusing(code: grpc.StatusCode, sentence: str) -> Any:
    """Return a handler that refuses; it is a streaming one, which does not wait for a request to arrive."""

    async def refuse(_requests: AsyncIterator[Any], context: Any) -> None:
        await context.abort(code, sentence)

    return grpc.stream_stream_rpc_method_handler(refuse)


def _unobserved(_method: str, _traceparent: str | None) -> AbstractContextManager[object]:
    return nullcontext()


def _owners(services: Iterable[tuple[str, RpcService]]) -> dict[str, str]:
    owners = {_HEALTH: _KERNEL, reflection.SERVICE_NAME: _KERNEL}
    for plugin, service in services:
        if service.name in owners:
            raise PluginError(
                f"plugin {plugin!r} contributes the gRPC service {service.name!r}, as {owners[service.name]!r} does: "
                "rename one or disable one of the two"
            )
        owners[service.name] = plugin
    return owners
