"""The gRPC listener."""

import asyncio
import io
import json
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from typing import Any

import grpc
import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from galaxy_chassis import request_context
from galaxy_chassis.errors import BootError
from galaxy_chassis.logs import configure_logging
from galaxy_kernel.errors import PhaseError, PluginError
from galaxy_kernel.rpc import server as server_module
from galaxy_kernel.rpc.server import RpcServer
from galaxy_kernel.rpc.service import RpcService

TOKEN = "gateway-token-of-the-tests"
SERVICE = "galaxy.test.v1.Echo"
AUTHORISED = (("x-gateway-token", TOKEN),)


class DatabaseAwayError(Exception):
    """What a driver raises, as far as we look at it."""

    def __init__(self, code: str) -> None:
        super().__init__("the server is away")
        self.sqlstate = code


class Echo:
    """A servicer with one method of each kind that can also fail, hang and refuse."""

    def __init__(self) -> None:
        self.works: list[request_context.RequestContext | None] = []
        self.entered = asyncio.Event()
        self.go_on = asyncio.Event()
        self.closed = asyncio.Event()
        self.error: Exception = ValueError("the secret plans of ann@example.org")

    async def say(self, request: bytes, context: Any) -> bytes:
        self.works.append(request_context.current_request.get())
        if request == b"fail":
            raise self.error
        if request == b"refuse":
            await context.abort(grpc.StatusCode.NOT_FOUND, "no such thing")
        if request == b"wait":
            self.entered.set()
            await self.go_on.wait()
        return request

    async def count(self, request: bytes, context: Any) -> AsyncIterator[bytes]:
        self.works.append(request_context.current_request.get())
        for number in range(int(request)):
            yield str(number).encode()

    async def follow(self, request: bytes, context: Any) -> AsyncIterator[bytes]:
        try:
            yield b"first"
            await asyncio.Event().wait()
        finally:
            self.closed.set()

    async def write(self, request: bytes, context: Any) -> None:
        await context.write(b"written")

    async def join(self, requests: AsyncIterator[bytes], context: Any) -> bytes:
        return b"".join([request async for request in requests])

    async def mirror(self, requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
        async for request in requests:
            yield request

    def service(self, name: str = SERVICE) -> RpcService:
        handlers = {
            "Say": grpc.unary_unary_rpc_method_handler(self.say),
            "Count": grpc.unary_stream_rpc_method_handler(self.count),
            "Follow": grpc.unary_stream_rpc_method_handler(self.follow),
            "Write": grpc.unary_stream_rpc_method_handler(self.write),
            "Join": grpc.stream_unary_rpc_method_handler(self.join),
            "Mirror": grpc.stream_stream_rpc_method_handler(self.mirror),
        }
        return RpcService(
            name,
            lambda server: server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(name, handlers),)),
        )


def made(echo: Echo, *, token: str | None = TOKEN, address: str = "127.0.0.1:0", **more: Any) -> RpcServer:
    return RpcServer(address, token=token, services=[("echo", echo.service())], **more)


@asynccontextmanager
async def running(server: RpcServer) -> AsyncIterator[grpc.aio.Channel]:
    await server.start()
    try:
        async with grpc.aio.insecure_channel(server.address) as channel:
            yield channel
    finally:
        await server.stop(0)


@contextmanager
def logged() -> Iterator[list[dict[str, Any]]]:
    """Collect the log lines written inside."""
    stream = io.StringIO()
    lines: list[dict[str, Any]] = []
    logging = configure_logging(stream=stream)
    try:
        yield lines
    finally:
        logging.close()
        lines += [json.loads(line) for line in stream.getvalue().splitlines()]


def unary(channel: grpc.aio.Channel, request: bytes = b"hello", metadata: Any = AUTHORISED) -> Any:
    return channel.unary_unary(f"/{SERVICE}/Say")(request, metadata=metadata)


async def code_of(call: Any) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await call
    return raised.value.code(), raised.value.details() or ""


async def test_a_call_with_the_token_is_answered() -> None:
    """Calls of all four kinds, and of the write style, reach their servicers with the gateway's token."""
    async with running(made(Echo())) as channel:
        assert await unary(channel) == b"hello"
        count = channel.unary_stream(f"/{SERVICE}/Count")(b"3", metadata=AUTHORISED)
        assert [message async for message in count] == [b"0", b"1", b"2"]
        write = channel.unary_stream(f"/{SERVICE}/Write")(b"", metadata=AUTHORISED)
        assert [message async for message in write] == [b"written"]
        assert await channel.stream_unary(f"/{SERVICE}/Join")(iter([b"a", b"b"]), metadata=AUTHORISED) == b"ab"
        mirror = channel.stream_stream(f"/{SERVICE}/Mirror")(iter([b"a", b"b"]), metadata=AUTHORISED)
        assert [message async for message in mirror] == [b"a", b"b"]


@pytest.mark.parametrize(
    "metadata",
    [(), (("x-gateway-token", ""),), (("x-gateway-token", TOKEN + "x"),), (("x-gateway-token-bin", b"\xff"),)],
)
async def test_a_call_without_the_token_is_refused(metadata: Any) -> None:
    """No token or a wrong one is UNAUTHENTICATED with a sentence, and the servicer is not reached."""
    echo = Echo()
    async with running(made(echo)) as channel:
        code, details = await code_of(unary(channel, metadata=metadata))
        assert code is grpc.StatusCode.UNAUTHENTICATED
        assert "x-gateway-token" in details
        assert TOKEN not in details
    assert echo.works == []


async def test_a_stream_without_the_token_is_refused_before_it_sends() -> None:
    """A call whose request is a stream is refused though the client has sent nothing yet."""
    async with running(made(Echo())) as channel:
        call = channel.stream_stream(f"/{SERVICE}/Mirror")()
        async with asyncio.timeout(5):
            assert await call.code() is grpc.StatusCode.UNAUTHENTICATED


async def test_without_a_configured_token_everything_is_closed() -> None:
    """With no token configured every call is FAILED_PRECONDITION, naming the variable."""
    async with running(made(Echo(), token=None)) as channel:
        code, details = await code_of(unary(channel))
        assert code is grpc.StatusCode.FAILED_PRECONDITION
        assert "BACKEND_GATEWAY_TOKEN" in details


async def test_health_needs_no_token() -> None:
    """Health answers SERVING for the whole and for each service, without a token."""
    async with running(made(Echo(), token=None)) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        for name in ("", SERVICE):
            answer = await stub.Check(health_pb2.HealthCheckRequest(service=name))
            assert answer.status == health_pb2.HealthCheckResponse.SERVING
        code, _ = await code_of(stub.Check(health_pb2.HealthCheckRequest(service="galaxy.unknown")))
        assert code is grpc.StatusCode.NOT_FOUND


async def test_reflection_lists_the_services_with_the_token() -> None:
    """Reflection names the plugin's service to a caller with the token, and nothing to one without."""
    request = reflection_pb2.ServerReflectionRequest(list_services="")
    async with running(made(Echo())) as channel:
        stub = reflection_pb2_grpc.ServerReflectionStub(channel)
        answers = [answer async for answer in stub.ServerReflectionInfo(iter([request]), metadata=AUTHORISED)]
        assert SERVICE in [each.name for each in answers[0].list_services_response.service]
        refused = stub.ServerReflectionInfo(iter([request]))
        assert await refused.code() is grpc.StatusCode.UNAUTHENTICATED


async def test_an_unknown_method_is_unimplemented() -> None:
    """A method that no service has is UNIMPLEMENTED, to a caller with the token."""
    async with running(made(Echo())) as channel:
        code, _ = await code_of(channel.unary_unary("/galaxy.test.v1.Echo/Nothing")(b"", metadata=AUTHORISED))
        assert code is grpc.StatusCode.UNIMPLEMENTED


async def test_a_call_is_work_of_its_plugin() -> None:
    """A call runs in a RequestContext with the plugin's name and the caller's request id, streams included."""
    echo = Echo()
    metadata = (*AUTHORISED, ("x-request-id", "request-0001"))
    async with running(made(echo)) as channel:
        await unary(channel, metadata=metadata)
        async for _ in channel.unary_stream(f"/{SERVICE}/Count")(b"1", metadata=metadata):
            pass
    assert [(each.plugin, each.request_id) for each in echo.works if each] == [("echo", "request-0001")] * 2
    assert request_context.current_request.get() is None


async def test_a_malformed_request_id_is_replaced() -> None:
    """A request id that is not well formed is replaced by a fresh one, another for each call."""
    echo = Echo()
    async with running(made(echo)) as channel:
        for _ in range(2):
            await unary(channel, metadata=(*AUTHORISED, ("x-request-id", "not well formed")))
    ids = [each.request_id for each in echo.works if each]
    assert len(set(ids)) == 2
    assert all(len(each) == 36 for each in ids)


async def test_a_failure_is_internal_and_logged_with_its_plugin() -> None:
    """An exception becomes INTERNAL without its text, and a log line that names the plugin and is scrubbed."""
    with logged() as lines:
        async with running(made(Echo())) as channel:
            code, details = await code_of(unary(channel, b"fail"))
    assert code is grpc.StatusCode.INTERNAL
    assert "plans" not in details
    line = next(line for line in lines if line["event"] == "rpc_failed")
    assert (line["plugin"], line["method"]) == ("echo", f"/{SERVICE}/Say")
    assert line["request_id"] in details
    assert "secret plans" in line["exception"]
    assert "ann@example.org" not in line["exception"]


@pytest.mark.parametrize(
    ("code", "event"),
    [("57P03", "database_unavailable"), ("53100", "database_unavailable"), ("40P01", "database_busy")],
)
async def test_a_condition_of_the_database_is_unavailable_and_one_line(code: str, event: str) -> None:
    """What HTTP answers with 503 is UNAVAILABLE, which gateways try again; a minute of it is one line, untraced."""
    echo = Echo()
    echo.error = DatabaseAwayError(code)
    with logged() as lines:
        async with running(made(echo)) as channel:
            for _ in range(3):
                status, details = await code_of(unary(channel, b"fail"))
                assert status is grpc.StatusCode.UNAVAILABLE and "Postgres" in details
    watched = "galaxy_chassis.watchdog"  # a machine that is busy may stop the loop for a moment
    about = [line for line in lines if line["level"] in ("warning", "error") and line["logger"] != watched]
    assert [(line["event"], line["sqlstate"], line["plugin"]) for line in about] == [(event, code, "echo")]
    assert "exception" not in about[0]


async def test_a_refusal_of_the_servicer_stays_as_it_is() -> None:
    """A servicer's abort reaches the caller, and is not a failure in the log."""
    with logged() as lines:
        async with running(made(Echo())) as channel:
            assert await code_of(unary(channel, b"refuse")) == (grpc.StatusCode.NOT_FOUND, "no such thing")
    assert [line for line in lines if line["level"] == "error"] == []


async def test_the_observer_surrounds_each_call() -> None:
    """The observer gets the method and the traceparent, inside the call's request context."""
    seen: list[Any] = []

    @contextmanager
    def observer(method: str, traceparent: str | None) -> Iterator[None]:
        seen.append((method, traceparent, request_context.current_request.get()))
        yield
        seen.append("left")

    async with running(made(Echo(), observer=observer)) as channel:
        await unary(channel, metadata=(*AUTHORISED, ("traceparent", "00-1-2-01")))
    assert seen[0][:2] == (f"/{SERVICE}/Say", "00-1-2-01")
    assert seen[0][2].plugin == "echo"
    assert seen[1] == "left"


async def test_a_taken_port_refuses_the_boot() -> None:
    """A port in use, also by another gRPC server, refuses the boot naming the variable."""
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(BootError, match="BACKEND_PUSH_LISTEN_ADDR"):
        await made(Echo(), address=f"127.0.0.1:{taken.getsockname()[1]}").start()
    first = made(Echo())
    async with running(first):
        second = made(Echo(), address=first.address)
        with pytest.raises(BootError, match=first.address):
            await second.start()
        assert not second.bound


async def test_bound_is_told_from_start_to_stop() -> None:
    """`bound` is true exactly while the listener takes calls, and stopping twice is harmless."""
    server = made(Echo())
    bound = [server.bound]
    await server.start()
    bound.append(server.bound)
    assert not server.address.endswith(":0")
    for _ in range(2):
        await server.stop(0)
        bound.append(server.bound)
    assert bound == [False, True, False, False]


def test_two_services_of_one_name_are_refused() -> None:
    """Two services of one name refuse the boot, naming both plugins; the kernel's own names are taken too."""
    service = Echo().service()
    with pytest.raises(PluginError, match=r"'two'.*'one'"):
        RpcServer("127.0.0.1:0", token=TOKEN, services=[("one", service), ("two", service)])
    with pytest.raises(PluginError, match=r"'one'.*'kernel'"):
        RpcServer("127.0.0.1:0", token=TOKEN, services=[("one", Echo().service("grpc.health.v1.Health"))])


async def test_a_service_that_cannot_be_added_names_its_plugin() -> None:
    """A servicer that fails to be added refuses the boot with its plugin's name."""

    def add(server: grpc.aio.Server) -> None:
        raise TypeError("no servicer")

    with pytest.raises(PhaseError, match="'broken'"):
        await RpcServer("127.0.0.1:0", token=TOKEN, services=[("broken", RpcService("a.B", add))]).start()


async def test_draining_finishes_unary_calls_and_refuses_new_ones() -> None:
    """While draining, a call in progress is finished, a new one is UNAVAILABLE and health is NOT_SERVING."""
    echo = Echo()
    server = made(echo)
    async with running(server) as channel:
        in_hand = asyncio.ensure_future(unary(channel, b"wait"))
        await echo.entered.wait()
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(service=SERVICE))
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVING
        stopping = asyncio.ensure_future(server.stop(10))
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
        assert not server.bound
        code, _ = await code_of(unary(channel))
        assert code is grpc.StatusCode.UNAVAILABLE
        echo.go_on.set()
        assert await in_hand == b"wait"
        async with asyncio.timeout(5):
            await stopping


async def test_draining_ends_streams_at_once() -> None:
    """A stream that would never end does not hold up the stop: it gets UNAVAILABLE, its servicer is closed."""
    echo = Echo()
    server = made(echo)
    async with running(server) as channel:
        follow = channel.unary_stream(f"/{SERVICE}/Follow")(b"", metadata=AUTHORISED)
        assert await follow.read() == b"first"
        async with asyncio.timeout(5):
            await server.stop(60)
        assert echo.closed.is_set()
        assert await follow.code() is grpc.StatusCode.UNAVAILABLE
        assert "another replica" in await follow.details()


async def test_a_call_that_outlasts_the_grace_is_cut_off() -> None:
    """A unary call that does not end within the grace is cut off, and that is logged."""
    echo = Echo()
    server = made(echo)
    with logged() as lines:
        async with running(server) as channel:
            in_hand = asyncio.ensure_future(unary(channel, b"wait"))
            await echo.entered.wait()
            async with asyncio.timeout(5):
                await server.stop(0.05)
            code, _ = await code_of(in_hand)
            assert code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)
    assert [line["calls"] for line in lines if line["event"] == "rpc_calls_cut_off"] == [1]


async def test_a_client_that_leaves_closes_its_stream() -> None:
    """When a subscriber leaves, its servicer is closed and the listener is idle again."""
    echo = Echo()
    server = made(echo)
    async with running(server) as channel:
        follow = channel.unary_stream(f"/{SERVICE}/Follow")(b"", metadata=AUTHORISED)
        assert await follow.read() == b"first"
        follow.cancel()
        async with asyncio.timeout(5):
            await echo.closed.wait()


ALONE = ("grpc.use_local_subchannel_pool", 1)
"""Option of a channel that shares its connection with no other of the process."""


@asynccontextmanager
async def watching(server: RpcServer, number: int, *, connections: int = 1) -> AsyncIterator[list[Any]]:
    """Hold so many watches of the health service open, without a token."""
    async with AsyncExitStack() as stack:
        channels = [
            await stack.enter_async_context(grpc.aio.insecure_channel(server.address, options=[ALONE]))
            for _ in range(connections)
        ]
        request = health_pb2.HealthCheckRequest()
        watches = [health_pb2_grpc.HealthStub(channels[n % connections]).Watch(request) for n in range(number)]
        await asyncio.gather(*(watch.read() for watch in watches), return_exceptions=True)
        yield watches


async def test_watches_without_the_token_keep_nobody_out() -> None:
    """1,100 watches on 11 connections leave places for gateways and for an orchestrator's check."""
    server = made(Echo())
    async with running(server), watching(server, 1100, connections=11):
        async with grpc.aio.insecure_channel(server.address, options=[ALONE]) as channel:
            assert await unary(channel) == b"hello"
            follow = channel.unary_stream(f"/{SERVICE}/Follow")(b"", metadata=AUTHORISED)
            assert await follow.read() == b"first"
            answer = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
        assert await server.fault() == ""
        assert server._calls._watches <= server_module.MAX_WATCHES
        assert server.crowded_out > 1000


async def test_a_few_watches_need_no_token(monkeypatch: pytest.MonkeyPatch) -> None:
    """A watch more than there are places for is refused with a sentence; one that ends leaves its place."""
    monkeypatch.setattr(server_module, "MAX_WATCHES", 2)
    server = made(Echo())
    async with running(server), watching(server, 2) as watches:
        async with watching(server, 1) as (third,):
            assert await third.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            assert "x-gateway-token" in await third.details()
        assert not any(watch.done() for watch in watches)
        watches[0].cancel()
        async with asyncio.timeout(5):
            while server._calls._watches == 2:
                await asyncio.sleep(0.005)
        async with watching(server, 1) as (fourth,):
            assert not fourth.done()
    assert server.crowded_out == 1


async def test_watches_with_the_token_are_not_counted_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """A gateway's own watch is kept out by no caller without the token."""
    monkeypatch.setattr(server_module, "MAX_WATCHES", 1)
    server = made(Echo())
    async with running(server) as channel, watching(server, 3):
        own = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(), metadata=AUTHORISED)
        assert (await own.read()).status == health_pb2.HealthCheckResponse.SERVING


async def test_checks_that_send_no_request_keep_nobody_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where callers without the token keep their requests back, the oldest makes room for a check that does not."""
    monkeypatch.setattr(server_module, "MAX_CHECKS", 2)
    server = made(Echo())
    async with running(server) as channel:
        held = [channel.stream_stream("/grpc.health.v1.Health/Check")() for _ in range(2)]
        async with asyncio.timeout(5):
            while len(server._calls._checks) < 2:
                await asyncio.sleep(0.005)
            answer = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
            assert answer.status == health_pb2.HealthCheckResponse.SERVING
            ended = [call for call in held if call.done()] or held
            assert await ended[0].code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert server.crowded_out == 1


async def test_a_check_that_sends_no_request_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """A caller without the token that keeps its request back has a place among few, and for a limited time."""
    monkeypatch.setattr(server_module, "_FIRST_REQUEST", 0.05)
    server = made(Echo())
    async with running(server) as channel:
        held = channel.stream_stream("/grpc.health.v1.Health/Check")()
        async with asyncio.timeout(5):
            assert await held.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        empty = channel.stream_stream("/grpc.health.v1.Health/Check")(iter(()))
        assert await empty.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_calls_with_the_token_have_a_limit_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Past the limit a call is refused with a sentence, and is answered when one has ended; health always is."""
    monkeypatch.setattr(server_module, "MAX_CALLS", 2)
    server = made(Echo())
    async with running(server) as channel:
        follows = [channel.unary_stream(f"/{SERVICE}/Follow")(b"", metadata=AUTHORISED) for _ in range(2)]
        for follow in follows:
            assert await follow.read() == b"first"
        code, details = await code_of(unary(channel))
        assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert "another replica" in details
        await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
        follows[0].cancel()
        async with asyncio.timeout(5):
            while len(server._calls._streams) == 2:
                await asyncio.sleep(0.005)
        assert await unary(channel) == b"hello"


async def test_a_connection_has_a_limit_of_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client keeps calls back that exceed the limit of its connection, until others have ended."""
    echo = Echo()
    server = made(echo)
    async with running(server), grpc.aio.insecure_channel(server.address, options=[ALONE]) as channel:
        await unary(channel)  # the limit is known once the connection is there
        calls = [asyncio.ensure_future(unary(channel, b"wait")) for _ in range(server_module.MAX_STREAMS + 20)]
        async with asyncio.timeout(10):
            while len(server._calls.unary) < server_module.MAX_STREAMS:
                await asyncio.sleep(0.005)
        async with grpc.aio.insecure_channel(server.address, options=[ALONE]) as other:
            assert await unary(other) == b"hello"
        assert len(server._calls.unary) == server_module.MAX_STREAMS
        echo.go_on.set()
        assert await asyncio.gather(*calls) == [b"wait"] * len(calls)


async def test_its_fault_is_found_by_a_call() -> None:
    """The listener's check makes a call: it fails where that is not answered, though the port is bound."""
    for token in (TOKEN, None):
        server = made(Echo(), token=token)
        assert "not bound" in await server.fault()
        async with running(server):
            assert await server.fault() == ""
            with socket.create_server(("127.0.0.1", 0)) as silent:
                server.address = f"127.0.0.1:{silent.getsockname()[1]}"
                assert "does not answer" in await server.fault()
        assert "not bound" in await server.fault()


@pytest.mark.slow
async def test_an_idle_gateway_may_send_pings(monkeypatch: pytest.MonkeyPatch) -> None:
    """A subscriber that sends pings no faster than allowed keeps its stream, however little is sent to it."""
    name = "grpc.http2.min_ping_interval_without_data_ms"
    monkeypatch.setattr(
        server_module, "_OPTIONS", [(each, 500 if each == name else value) for each, value in server_module._OPTIONS]
    )
    options = [
        ALONE,
        ("grpc.keepalive_time_ms", 1000),
        ("grpc.keepalive_timeout_ms", 5000),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.max_pings_without_data", 0),
    ]
    server = made(Echo())
    async with running(server), grpc.aio.insecure_channel(server.address, options=options) as channel:
        follow = channel.unary_stream(f"/{SERVICE}/Follow")(b"", metadata=AUTHORISED)
        assert await follow.read() == b"first"
        with pytest.raises(TimeoutError):  # five pings are what an unknown option would not survive
            async with asyncio.timeout(6):
                await follow.read()


def test_pings_may_come_every_ten_seconds() -> None:
    """The smallest interval that is allowed leaves room for a ping that comes early (SPEC P-2)."""
    assert dict(server_module._OPTIONS)["grpc.http2.min_ping_interval_without_data_ms"] <= 5_000
