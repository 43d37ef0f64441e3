"""The store in Redis: what it writes, and a Redis that refuses, restarts or is set up with a password or TLS."""

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from certificates import certificate
from redis_server import RedisServer, free_port, redis_server

from galaxy_chassis.clock import ManualClock
from galaxy_gateway.store.errors import StoreUnavailableError
from galaxy_gateway.store.redis import RedisStore
from galaxy_gateway.store.store import Claim, Demand

MINUTE = 60_000_000
PASSWORD = "p@ss/word"


def demand(key: str = "galaxy:limit:a", quota: int = 5) -> Demand:
    """Return a demand that refills a unit a minute."""
    return Demand(key, MINUTE, quota * MINUTE)


@pytest.fixture
async def store(server: RedisServer) -> AsyncIterator[RedisStore]:
    """Return a store in a server that the test may spoil."""
    store = RedisStore(server.url, ManualClock(), timeout=10.0)
    yield store
    await store.aclose()


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[tuple[RedisServer, int, int, Path]]:
    """Run a server with a password; return it with its port, its port for TLS, and the certificate."""
    authority, key = _certificate(tmp_path)
    port, tls_port = free_port(), free_port()
    tls = ("--tls-port", str(tls_port), "--tls-auth-clients", "no", "--tls-ca-cert-file", str(authority))
    files = ("--tls-cert-file", str(authority), "--tls-key-file", str(key))
    options = ("--port", str(port), "--bind", "127.0.0.1", *tls, *files, "--requirepass", PASSWORD)
    with redis_server(*options) as server:
        yield server, port, tls_port, authority


def _certificate(folder: Path) -> tuple[Path, Path]:
    paths = folder / "certificate.pem", folder / "key.pem"
    for path, pem in zip(paths, certificate(), strict=True):
        path.write_bytes(pem)
    return paths


async def test_everything_expires(server: RedisServer, store: RedisStore) -> None:
    """Each key that the store writes has a time limit: that of the debt, of the lease, and of the answer."""
    await store.spend([demand()])
    await store.claim("galaxy:idempotency:running", b"me", b"", 60)
    await store.claim("galaxy:idempotency:done", b"me", b"", 60)
    await store.finish("galaxy:idempotency:done", b"me", b"", b"answer", 86400)
    await store.ping()
    left = {key.decode(): server.run("TTL", key) for key in server.run("KEYS", "*")}
    assert left.pop("galaxy:ping", 1) <= 1
    assert {key: -(-seconds // 60) for key, seconds in left.items()} == {
        "galaxy:limit:a": 1,
        "galaxy:idempotency:running": 1,
        "galaxy:idempotency:done": 1440,
    }


async def test_time_is_kept_in_whole_microseconds(server: RedisServer, store: RedisStore) -> None:
    """The time at which an allowance is full has all of its 16 digits."""
    await store.spend([demand()])
    seconds, microseconds = server.run("TIME")
    full_at = server.run("GET", "galaxy:limit:a")
    assert re.fullmatch(rb"\d{16}", full_at)
    assert 0 <= int(seconds) * 1_000_000 + int(microseconds) + MINUTE - int(full_at) < MINUTE


async def test_a_clock_that_is_set_back_keeps_nobody_out(server: RedisServer, store: RedisStore) -> None:
    """A time in the far future counts as an allowance that is spent: the client waits for one unit."""
    server.run("SET", "galaxy:limit:a", 4_000_000_000_000_000)
    assert (await store.spend([demand()])).debts == (5 * MINUTE,)


async def test_one_request_is_one_command(server: RedisServer, store: RedisStore) -> None:
    """All policies of a request are one script, which Redis knows after the first time."""
    await store.spend([demand("galaxy:limit:a"), demand("galaxy:limit:b"), demand("galaxy:limit:c")])
    before = _calls(server)
    await store.spend([demand("galaxy:limit:a"), demand("galaxy:limit:b"), demand("galaxy:limit:c")])
    after = _calls(server)
    assert {name: number - before.get(name, 0) for name, number in after.items()} | {"info": 0} == {
        **dict.fromkeys(after, 0),
        "evalsha": 1,
        "time": 1,
        "mget": 1,
        "set": 3,
    }


def _calls(server: RedisServer) -> dict[str, int]:
    lines = server.run("INFO", "commandstats")
    return {name.removeprefix("cmdstat_"): values["calls"] for name, values in lines.items()}


async def test_scripts_that_redis_forgot_are_sent_again(server: RedisServer, store: RedisStore) -> None:
    """Without its scripts Redis does each operation once, and knows them afterwards."""
    for _ in range(2):
        server.run("SCRIPT FLUSH")
        spent = await asyncio.gather(*(store.spend([demand()]) for _ in range(9)))
        assert [result.allowed for result in spent].count(True) in (5, 0)
    server.run("SCRIPT FLUSH")
    assert await store.claim("galaxy:idempotency:k", b"me", b"p", 60) == Claim(True)
    server.run("SCRIPT FLUSH")
    assert await store.finish("galaxy:idempotency:k", b"me", b"p", b"answer", 60)
    assert (await store.claim("galaxy:idempotency:k", b"me", b"p", 60)).answer == b"answer"


async def test_a_redis_that_is_full_refuses(server: RedisServer, store: RedisStore) -> None:
    """What cannot be written is unavailable, with Redis's reason, and works again when there is room."""
    await store.spend([demand()])
    server.run("CONFIG SET", "maxmemory", 1)
    with pytest.raises(StoreUnavailableError, match=r"Redis refuses: .*'maxmemory'"):
        await store.spend([demand()])
    with pytest.raises(StoreUnavailableError, match="maxmemory"):
        await store.ping()
    server.run("CONFIG SET", "maxmemory", 0)
    assert round((await store.spend([demand()])).debts[0] / MINUTE) == 2


async def test_a_replica_refuses(server: RedisServer, store: RedisStore) -> None:
    """A Redis that may only be read is unavailable, until it is a primary."""
    server.run("REPLICAOF", "127.0.0.1", 1)
    for _ in range(2):
        with pytest.raises(StoreUnavailableError, match="read only replica"):
            await store.spend([demand()])
    server.run("REPLICAOF", "NO", "ONE")
    assert (await store.spend([demand()])).allowed


async def test_a_restart_is_not_noticed(server: RedisServer, store: RedisStore) -> None:
    """A Redis that comes back empty between two operations works at the first of them, and knows nothing."""
    await store.claim("galaxy:idempotency:k", b"me", b"p", 60)
    await asyncio.to_thread(server.stop)
    await asyncio.to_thread(server.start)
    assert await store.claim("galaxy:idempotency:k", b"you", b"p", 60) == Claim(True)


async def test_an_answer_after_a_restart_is_kept(server: RedisServer, store: RedisStore) -> None:
    """A call that was running while Redis lost its claim keeps its answer for those who repeat it."""
    await store.claim("galaxy:idempotency:k", b"me", b"p", 60)
    await asyncio.to_thread(server.stop)
    await asyncio.to_thread(server.start)
    assert await store.finish("galaxy:idempotency:k", b"me", b"p", b"answer", 60)
    assert await store.claim("galaxy:idempotency:k", b"you", b"p", 60) == Claim(False, b"p", b"answer")


async def test_gateways_share_what_is_in_redis(server: RedisServer, store: RedisStore) -> None:
    """Two stores in one Redis spend of one allowance and claim one key."""
    second = RedisStore(server.url, ManualClock(), timeout=10.0)
    try:
        both = [each.spend([demand()]) for _ in range(10) for each in (store, second)]
        assert sum(result.allowed for result in await asyncio.gather(*both)) == 5
        claims = [each.claim("galaxy:idempotency:k", b"me", b"p", 60) for _ in range(50) for each in (store, second)]
        assert sum(claim.granted for claim in await asyncio.gather(*claims)) == 1
    finally:
        await second.aclose()


async def test_password_and_tls(guarded: tuple[RedisServer, int, int, Path]) -> None:
    """URLs with a password, escaped, work over TCP and TLS; a wrong one and an unknown certificate do not."""
    _, port, tls_port, certificate = guarded
    escaped = PASSWORD.replace("@", "%40").replace("/", "%2F")
    urls = {
        f"redis://:{escaped}@127.0.0.1:{port}/3": "",
        f"rediss://:{escaped}@localhost:{tls_port}?ssl_ca_certs={certificate}": "",
        f"redis://:wrong@127.0.0.1:{port}": "WRONGPASS|invalid username-password",
        f"redis://127.0.0.1:{port}": "[Aa]uthentication",
        f"rediss://:{escaped}@localhost:{tls_port}": "CERTIFICATE_VERIFY_FAILED|certificate verify failed",
    }
    for url, reason in urls.items():
        store = RedisStore(url, ManualClock(), timeout=10.0)
        try:
            if reason:
                with pytest.raises(StoreUnavailableError, match=reason) as caught:
                    await store.ping()
                assert PASSWORD not in str(caught.value)
            else:
                await store.ping()
                assert (await store.spend([demand(f"galaxy:{url}")])).allowed
        finally:
            await store.aclose()
