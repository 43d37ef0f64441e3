"""How many streams there may be."""

from typing import Any

import pytest
from opentelemetry.metrics import NoOpMeter

from galaxy_chassis.http.problems import Problem
from galaxy_gateway.streams import Metrics, StreamSettings
from galaxy_gateway.streams.places import Places


def refused(places: Places, account: str, network: str) -> tuple[int, str]:
    """Try to enter, and return status and code of the refusal."""
    with pytest.raises(Problem) as caught:
        places.enter(account, network)
    assert int(caught.value.headers["Retry-After"]) > 0
    return caught.value.status, caught.value.code


def test_each_limit_refuses_one_more_and_counts_it() -> None:
    """One account, one address and all together have their limits; who leaves makes room."""
    metrics = Metrics(NoOpMeter("test"))
    places = Places(StreamSettings(per_account=2, per_address=3, total=4), metrics)
    for account in ("a", "a", "b"):
        places.enter(account, "one")
    assert refused(places, "a", "two") == (429, "too_many_requests")
    assert refused(places, "c", "one") == (429, "too_many_requests")
    places.enter("c", "two")
    assert refused(places, "d", "three") == (503, "streams_full")
    assert metrics.refused == {"account": 1, "address": 1, "total": 1}
    places.leave("a", "one")
    places.enter("a", "two")
    for account, network in (("a", "one"), ("b", "one"), ("c", "two"), ("a", "two")):
        places.leave(account, network)
    assert (places.taken, places._accounts, places._networks) == (0, {}, {})


def test_zero_is_no_limit() -> None:
    """Without limits of account and address only the total counts."""
    places = Places(StreamSettings(per_account=0, per_address=0, total=1000), Metrics(NoOpMeter("test")))
    for _ in range(1000):
        places.enter("a", "one")
    assert refused(places, "a", "one") == (503, "streams_full")


async def test_a_stream_too_many_is_429_and_the_next_fits_when_one_leaves(backend: Any, make_gateway: Any) -> None:
    """The limit holds over both transports, and a place is free as soon as its stream has ended."""
    gateway = await make_gateway(backend.address, per_account=2)
    client = await gateway.open()
    socket = await gateway.connect()
    response = await gateway.ask()
    assert (response.status, (await response.json())["code"]) == (429, "too_many_requests")
    await (await gateway.open("bob")).until(lambda: gateway.count == 3)
    client.close()
    await gateway.until(lambda: gateway.count == 2)
    await gateway.open()
    await socket.close()


async def test_addresses_are_counted_as_the_gateway_sees_them(backend: Any, make_gateway: Any) -> None:
    """The client's address is the one that the listener says, not the peer's; a /64 of IPv6 is one client."""
    gateway = await make_gateway(backend.address, per_address=1)
    first, mapped, neighbours = "192.0.2.1", "::ffff:192.0.2.1", ("2001:db8::1", "2001:db8::2")
    statuses = {first: 200, mapped: 429, "192.0.2.2": 200, neighbours[0]: 200, neighbours[1]: 429, "": 200}
    for address, status in statuses.items():
        headers = {"X-Address": address} if address else {}
        response = await gateway.ask(**headers)
        assert response.status == status
