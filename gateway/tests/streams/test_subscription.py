"""The subscription to the backend: restarts, other addresses, resyncs, refusals."""

from typing import Any

import grpc
import pytest
from certificates import certificate

from galaxy_chassis.errors import BootError
from galaxy_gateway.streams import StreamSettings
from galaxy_gateway.streams.backend import credentials


async def test_a_backend_that_restarts_is_a_pause(backend: Any, gateway: Any) -> None:
    """Streams stay open while the backend is away, and get what was published meanwhile, once."""
    client = await gateway.open()
    await gateway.live(1)
    await backend.publish(1)
    await client.heard(1)
    await backend.stop()
    await gateway.until(lambda: not gateway.streams.subscribed)
    assert (await gateway.streams.probe()).state == "degraded"
    await backend.publish(2, 3)
    await backend.start()
    await client.heard(3)
    await backend.publish(4)
    await client.heard(4)
    assert (client.numbers, client.kinds.count("resync")) == ([1, 2, 3, 4], 0)
    assert backend.subscriptions[0] == ""
    assert set(backend.subscriptions[1:]) == {"g1-1"}
    assert gateway.streams._subscription._failures == 0  # the next loss is waited for as briefly as this one
    assert (await gateway.streams.probe()).state == "ok"


async def test_the_next_address_is_tried(make_backend: Any, make_gateway: Any) -> None:
    """When one backend is away the gateway subscribes at another one, after the same cursor."""
    one, other = await make_backend(), await make_backend()
    gateway = await make_gateway(one.address, other.address)
    client = await gateway.open()
    await gateway.live(1)
    await one.publish(1)
    await client.heard(1)
    await one.stop()
    other.events, other.last = list(one.events), one.last
    await other.publish(2)
    await client.heard(2)
    assert (client.numbers, other.subscriptions) == ([1, 2], ["g1-1"])


async def test_a_restored_database_ends_every_stream_with_a_resync(backend: Any, gateway: Any) -> None:
    """When the backend requires a resync, each stream gets one with the new cursor and ends; the ring is empty."""
    reset: list[bool] = []
    gateway.streams.on_reset.append(lambda: reset.append(True))
    client, other = await gateway.open(), await gateway.open("bob", "s2")
    await gateway.live(2)
    await backend.publish(1, 2)
    await client.heard(2)
    backend.restore("g2")
    await backend.publish()
    await client.until(lambda: client.ended and other.ended)
    assert (client.kinds[-1], other.kinds, client.last_id) == ("resync", ["resync"], "g2-2")
    assert (reset, len(gateway.hub.ring)) == ([True], 0)
    again = await gateway.open(last=client.last_id)
    await gateway.live(1)
    await backend.publish(3)
    await again.heard(1)
    assert (again.numbers, backend.replays) == ([3], [])


async def test_a_gateway_that_was_away_too_long_resyncs(backend: Any, gateway: Any) -> None:
    """Where the backend has removed events that the gateway did not get, its clients fetch their state again."""
    client = await gateway.open()
    await gateway.live(1)
    await backend.publish(1)
    await client.heard(1)
    await backend.stop()
    await backend.publish(2, 3)
    backend.trimmed = 3
    await backend.start()
    await client.until(lambda: client.ended)
    assert (client.numbers, client.kinds[-1], client.last_id) == ([1], "resync", "g1-3")


async def test_a_revocation_during_a_pause_ends_its_streams(backend: Any, gateway: Any) -> None:
    """A session that ended while the backend could not be reached ends here when it is back."""
    client = await gateway.open()
    await gateway.live(1)
    await backend.stop()
    await backend.revoke("s1")
    await backend.start()
    await client.until(lambda: client.ended)
    assert client.kinds == ["session.revoked"]


async def test_a_refused_token_shows_in_the_probe(backend: Any, make_gateway: Any, monkeypatch: Any) -> None:
    """A gateway whose token the backend refuses says so, with the backend's words."""
    monkeypatch.setattr("galaxy_gateway.streams.backend.TOKEN_KEY", "x-other")
    gateway = await make_gateway(backend.address, subscribed=False)
    await gateway.until(lambda: "no token" in gateway.streams._subscription._lost)
    health = await gateway.streams.probe()
    assert (health.state, "UNAUTHENTICATED: no token" in health.detail) == ("failed", True)


async def test_a_backend_without_generations_is_named(make_backend: Any, make_gateway: Any) -> None:
    """A backend whose cursors are plain numbers is too old, and the probe says what to do."""
    backend = await make_backend(generation="")
    backend.cursor = lambda number=None: str(backend.last if number is None else number)
    gateway = await make_gateway(backend.address, subscribed=False)
    await gateway.until(lambda: "older than this gateway" in gateway.streams._subscription._lost)


async def test_the_connection_can_be_secured(make_backend: Any, make_gateway: Any, tmp_path: Any) -> None:
    """By TLS a gateway subscribes and resumes at a backend whose authority it knows, and at no other one."""
    authority, private = certificate()
    file = tmp_path / "authority.pem"
    file.write_bytes(authority)
    backend = await make_backend(credentials=grpc.ssl_server_credentials([(private, authority)]))
    await backend.publish(1)
    gateway = await make_gateway(backend.address, backend_tls=True, backend_ca_file=str(file))
    client = await gateway.open(last="g1-0")
    await client.heard(1)
    assert (client.numbers, len(backend.replays)) == ([1], 1)
    file.write_bytes(certificate()[0])
    stranger = await make_gateway(backend.address, subscribed=False, backend_tls=True, backend_ca_file=str(file))
    await stranger.until(lambda: "UNAVAILABLE" in stranger.streams._subscription._lost)
    assert len(backend.subscriptions) == 1


def test_an_unreadable_authority_refuses_the_boot(tmp_path: Any) -> None:
    """The error names the variable."""
    assert credentials(StreamSettings()) is None
    assert credentials(StreamSettings(backend_tls=True)) is not None
    with pytest.raises(BootError, match=r"^GATEWAY_STREAM_BACKEND_CA_FILE: .*: No such file"):
        credentials(StreamSettings(backend_tls=True, backend_ca_file=str(tmp_path / "missing.pem")))
