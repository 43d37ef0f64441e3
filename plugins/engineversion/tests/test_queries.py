"""The statements, and what the table itself refuses."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy.exc import IntegrityError

from galaxy_engineversion import queries
from galaxy_engineversion.domain import Claim

LEASE = timedelta(seconds=60)


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("version", "1.0"),
        ("version", "01.0.0"),
        ("version", "1.0.0\n"),
        ("version", "v1.0.0"),
        ("version", "1.0.0-01"),
        ("engine", "A"),
        ("engine", ""),
        ("state", "new"),
        ("check_request_id", "alone"),
    ],
)
async def test_the_table_refuses(world: Any, column: str, value: str) -> None:
    """What the API refuses, the database refuses too."""
    await world.add()
    with pytest.raises(IntegrityError):
        await world.sql(f"UPDATE engine_versions SET {column} = :value", value=value)


@pytest.mark.parametrize("version", ["1.0.0-0A.is.legal", "1.2.3----RC-SNAPSHOT.12.9.1--.12+788", "0.0.0+meta.1"])
async def test_the_table_takes_what_the_api_takes(world: Any, version: str) -> None:
    """Pre-releases and builds are versions for the database as for the API."""
    await world.add(version)


async def _claim(world: Any, lease: timedelta = LEASE) -> Claim | None:
    async with world.database.transaction() as connection:
        return await queries.claim_check(connection, lease)


async def _request(world: Any, version_id: Any) -> None:
    async with world.database.transaction() as connection:
        await queries.request_check(connection, UUID(str(version_id)), "the request")


async def test_checks_are_taken_up_in_their_order(world: Any) -> None:
    """What was asked for first is taken up first, once; with none left there is nothing to take up."""
    first, second = (await world.add("1.0.0"))["id"], (await world.add("2.0.0"))["id"]
    assert await _claim(world) is None
    for version_id in (second, first, second):
        await _request(world, version_id)
    claims = [await _claim(world) for _ in range(3)]
    assert [None if claim is None else str(claim.id) for claim in claims] == [second, first, None]
    assert claims[0] == Claim(UUID(second), "default@2.0.0", "galaxy/game:1", None, 1, 1, "the request")


async def test_a_claim_that_is_held_is_not_given_out(world: Any) -> None:
    """A lease that ended is taken up by another, whose claim is then the only one that holds."""
    await _request(world, (await world.add())["id"])
    lost = await _claim(world, timedelta(0))
    assert lost is not None
    async with world.database.transaction() as connection:
        assert await queries.renew_check(connection, lost, timedelta(0))
    taken = await _claim(world)
    assert taken is not None
    assert (taken.lease, taken.tries) == (2, 2)
    async with world.database.transaction() as connection:
        assert not await queries.renew_check(connection, lost, LEASE)
        assert await queries.renew_check(connection, taken, LEASE)
        result = {"conforms": True}
        assert await queries.finish_check(connection, lost, world.clock.now(), result, digest="a") is None
        kept = await queries.finish_check(connection, taken, world.clock.now(), result, digest="b")
        assert kept is not None and kept.digest == "b"
        assert await queries.finish_check(connection, taken, world.clock.now(), result, digest="c") is None
    assert await _claim(world) is None


async def test_a_released_check_was_not_tried(world: Any) -> None:
    """A check that a process gives back is taken up at once, and its try does not count."""
    await _request(world, (await world.add())["id"])
    claim = await _claim(world)
    assert claim is not None
    async with world.database.transaction() as connection:
        await queries.release_check(connection, claim)
    again = await _claim(world)
    assert again is not None
    assert (again.lease, again.tries) == (2, 1)


async def test_a_new_image_voids_a_claim(world: Any) -> None:
    """What was taken up of a former image does not count any more, and the check is taken up again."""
    made = (await world.add())["id"]
    await _request(world, made)
    claim = await _claim(world)
    assert claim is not None
    async with world.database.transaction() as connection:
        await queries.forget_image(connection, UUID(made))
        assert not await queries.renew_check(connection, claim, LEASE)
    again = await _claim(world)
    assert again is not None and again.tries == 1
