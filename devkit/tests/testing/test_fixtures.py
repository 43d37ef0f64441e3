"""The fixtures that authors of plugins get with the kernel, as pytest gives them."""

import inspect
from datetime import timedelta

import pytest

from galaxy_devkit.testing import ManualClock, PostgresCluster, fixtures
from galaxy_devkit.testing.http import Serve, make_route
from galaxy_kernel.api import Model


class Word(Model):
    """What the routes answer."""

    word: str


async def one() -> Word:
    return Word(word="one")


async def two() -> Word:
    return Word(word="two")


def test_the_clock_stands_still(clock: ManualClock) -> None:
    """Each test has one of its own."""
    before = clock.now()
    assert clock.now() == before
    clock.advance(timedelta(days=1))
    assert clock.now() - before == timedelta(days=1)


async def test_several_servers_live_side_by_side(serve: Serve) -> None:
    """Each has its routes and a port of its own."""
    first, second = await serve(make_route(one)), await serve(make_route(two))
    path = "/api/v1/public/thing"
    assert [(await api("GET", path)).json["word"] for api in (first, second)] == ["one", "two"]


async def test_options_reach_the_service(serve: Serve) -> None:
    """What a test of limits sets is what the server keeps to."""

    async def take(body: Word) -> None: ...

    api = await serve(make_route(take, "POST"), max_body=16)
    got = await api("POST", "/api/v1/public/thing", json={"word": "x" * 20})
    assert (got.status, got.json["code"]) == (413, "body_too_large")


def test_one_cluster_serves_the_session(postgres_cluster: PostgresCluster, empty_database: str) -> None:
    """Databases are cheap, servers are not."""
    assert f":{postgres_cluster.server.port}/" in empty_database


def test_without_programs_tests_are_skipped_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a machine without PostgreSQL, tests say what to install."""
    monkeypatch.setattr(fixtures, "available", lambda: "install it")
    with pytest.raises(pytest.skip.Exception, match="install it"):
        next(inspect.unwrap(fixtures.postgres_cluster)())
