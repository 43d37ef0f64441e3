"""Opening the store that a URL names, and its check."""

import pytest
from redis_server import RedisServer

from galaxy_chassis.clock import ManualClock
from galaxy_gateway.store.memory import MemoryStore
from galaxy_gateway.store.opening import check_store_url, open_store, store_probe
from galaxy_gateway.store.redis import RedisStore

GOOD = [
    *("memory://", "redis://redis", "redis://redis:6379/0", "rediss://user:p%40ss@redis.example.org:6380/15"),
    *("unix:///run/redis.sock", "unix:///run/redis.sock?db=3&password=x", "redis://[::1]:6379/"),
    "rediss://redis?ssl_ca_certs=/etc/ca.pem&ssl_check_hostname=false",
]
BAD = [
    *("", "memory", "memory://host", "memory:///path", "http://redis", "redis://", "redis:///0", "redis://redis/name"),
    *("redis://redis:port", "redis://redis:99999", "unix://", "unix:///", "redis.sock", "redis://redis/0/1"),
    *("redis://redis?socket_timeout=30", "redis://redis?retry_on_timeout=yes", "redis://redis?max_connections"),
]


@pytest.mark.parametrize("url", GOOD)
async def test_a_url_names_a_store(url: str) -> None:
    """It is opened without a connection."""
    store = open_store(check_store_url(url), ManualClock())
    assert isinstance(store, MemoryStore if url.startswith("memory") else RedisStore)
    await store.aclose()


@pytest.mark.parametrize("url", BAD)
def test_any_other_url_is_refused(url: str) -> None:
    """The message says what was expected."""
    with pytest.raises(ValueError, match="expected"):
        open_store(url, ManualClock())


def test_a_refused_url_is_not_quoted() -> None:
    """It may hold a password."""
    for url in ("redis://:hunter2@redis:x", "http://:hunter2@redis", "redis://:hunter2@redis?nosuch=1"):
        with pytest.raises(ValueError, match="expected") as caught:
            check_store_url(url)
        assert "hunter2" not in str(caught.value)


async def test_the_check_of_a_store_that_works() -> None:
    """Memory is always there; the check is only reported."""
    probe = store_probe(MemoryStore(ManualClock()))
    assert (probe.name, probe.gates, (await probe.check()).state) == ("store", "report", "ok")


async def test_the_check_of_a_store_that_is_away(server: RedisServer) -> None:
    """Without Redis the gateway is degraded, not failed, and the check says what that means."""
    store = open_store(server.url, ManualClock())
    probe = store_probe(store)
    assert (await probe.check()).state == "ok"
    server.stop()
    health = await probe.check()
    assert health.state == "degraded"
    assert "unsafe calls are refused" in health.detail
    await store.aclose()
