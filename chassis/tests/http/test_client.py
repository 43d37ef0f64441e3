"""The HTTP client of a process: its calls carry the ids of their caller, and end in time."""

import asyncio
from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp import web
from multidict import CIMultiDict
from opentelemetry.sdk.trace import TracerProvider

from galaxy_chassis.http.client import TIMEOUT, HttpClient, make_session
from galaxy_chassis.request_context import request_context

TRACE = "0af7651916cd43dd8448eb211c80319c"


class Server:
    """Notes the headers of its requests."""

    def __init__(self) -> None:
        self.requests: list[CIMultiDict[str]] = []
        self.url = ""

    async def answer(self, request: web.Request) -> web.Response:
        self.requests.append(CIMultiDict(request.headers))
        if request.path == "/away":
            raise web.HTTPFound("/here")
        if request.path == "/never":
            await asyncio.sleep(3600)
        response = web.Response(text="ok")
        response.set_cookie("seen", "yes")
        return response


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    """Serve on a free port."""
    server, app = Server(), web.Application()
    app.router.add_get("/{path:.*}", server.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield server
    await runner.cleanup()


@pytest.fixture
async def client() -> AsyncIterator[HttpClient]:
    """Return a client that is closed afterwards."""
    client = HttpClient()
    yield client
    await client.close()


async def get(client: HttpClient, url: str, **options: object) -> str:
    async with client.session.get(url, **options) as response:  # type: ignore[arg-type]
        return await response.text()


async def test_calls_carry_the_request_id_and_the_trace(server: Server, client: HttpClient) -> None:
    """What is called within a request can be found by it, redirects included; a trace not recorded says so."""
    with request_context("test", "request-1") as context:
        context.trace_id = TRACE
        assert await get(client, f"{server.url}/away") == "ok"
    first, second = server.requests
    assert first["X-Request-Id"] == second["X-Request-Id"] == "request-1"
    assert first["traceparent"].startswith(f"00-{TRACE}-")
    assert first["traceparent"].endswith("-00")
    assert first["traceparent"].split("-")[2] != "0" * 16


async def test_a_recorded_span_is_the_parent(server: Server, client: HttpClient) -> None:
    """The called side's spans become children of the current one."""
    tracer = TracerProvider(shutdown_on_exit=False).get_tracer("test")
    with request_context("test"), tracer.start_as_current_span("outer") as span:
        await get(client, server.url)
    ids = span.get_span_context()
    assert server.requests[0]["traceparent"] == f"00-{ids.trace_id:032x}-{ids.span_id:016x}-{ids.trace_flags:02x}"
    assert ids.trace_flags.sampled


async def test_outside_any_work_there_is_nothing_to_carry(server: Server, client: HttpClient) -> None:
    """No id is made up."""
    await get(client, server.url)
    assert not {"X-Request-Id", "traceparent"} & set(server.requests[0])


async def test_the_callers_own_headers_stay(server: Server, client: HttpClient) -> None:
    """Whoever passes something on from elsewhere passes its ids on too."""
    with request_context("test", "request-1") as context:
        context.trace_id = TRACE
        await get(client, server.url, headers={"x-request-id": "theirs", "traceparent": "theirs too"})
    assert server.requests[0].getall("X-Request-Id") == ["theirs"]
    assert server.requests[0].getall("traceparent") == ["theirs too"]


async def test_calls_at_a_time_keep_their_ids_apart(server: Server, client: HttpClient) -> None:
    """Each call has the ids of its own task."""

    async def work(number: int) -> None:
        with request_context("test", f"request-{number}"):
            await get(client, server.url)

    await asyncio.gather(*(work(number) for number in range(20)))
    assert {each["X-Request-Id"] for each in server.requests} == {f"request-{number}" for number in range(20)}


async def test_cookies_are_not_kept(server: Server, client: HttpClient) -> None:
    """One called service sees nothing of what another, or it itself, said before."""
    for _ in range(2):
        await get(client, server.url)
    assert not any("Cookie" in each for each in server.requests)


async def test_calls_end_in_time(server: Server, client: HttpClient) -> None:
    """There is a limit without asking for it, and a call may bring another."""
    assert client.session.timeout == TIMEOUT
    assert TIMEOUT.total is not None and TIMEOUT.sock_connect is not None
    with pytest.raises(TimeoutError):
        await get(client, f"{server.url}/never", timeout=aiohttp.ClientTimeout(total=0.05))


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "POST"])
async def test_a_call_is_sent_once(client: HttpClient, method: str) -> None:
    """A kept connection that is closed in place of an answer is an error: the call may have had its effect."""
    calls = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for first in (True, False):
            await reader.readuntil(b"\r\n\r\n")
            calls.append(first)
            if first and len(calls) == 1:
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
                continue
            writer.transport.abort()
            return

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as listener:
        url = "http://{}:{}".format(*listener.sockets[0].getsockname())
        async with client.session.request(method, url):
            pass
        with pytest.raises((aiohttp.ClientOSError, aiohttp.ServerDisconnectedError)):
            await client.session.request(method, url)
    assert calls == [True, False]


async def test_the_session_lives_as_long_as_the_client() -> None:
    """It is made once, when first asked for, and is gone after the close; a client that nobody used is closed too."""
    client = HttpClient()
    session = client.session
    assert client.session is session
    await client.close()
    assert session.closed
    with pytest.raises(RuntimeError, match="the process is stopping"):
        _ = client.session
    await HttpClient().close()


async def test_a_session_at_hand_is_its_makers() -> None:
    """A test's session is used as it is and left open."""
    async with make_session() as session:
        client = HttpClient(session)
        assert client.session is session
        await client.close()
        assert not session.closed
