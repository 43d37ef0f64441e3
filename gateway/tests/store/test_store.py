"""What holds for every store."""

import asyncio
from collections import Counter

from redis_server import World

from galaxy_gateway.store.store import Claim, Demand

HOUR = 3_600_000_000
ME, OTHER = b"\x00me\xff", b"other"
PRINT = b"\x00" * 31 + b"\xff"


def per_day(key: str, quota: int) -> Demand:
    """Return a demand that refills a unit an hour: what a test takes by itself does not count."""
    return Demand(f"galaxy:limit:{key}", HOUR, quota * HOUR)


async def test_an_allowance_can_be_spent_and_no_more(world: World) -> None:
    """As many requests as the quota pass at once, and the next is refused."""
    results = [await world.store.spend([per_day("a", 3)]) for _ in range(5)]
    assert [result.allowed for result in results] == [True, True, True, False, False]
    assert [round(result.debts[0] / HOUR, 2) for result in results] == [1, 2, 3, 3, 3]


async def test_units_refill_one_by_one(world: World) -> None:
    """After one interval one request passes, and not two."""
    for _ in range(3):
        await world.store.spend([per_day("a", 3)])
    world.advance(3601)
    assert (await world.store.spend([per_day("a", 3)])).allowed
    assert not (await world.store.spend([per_day("a", 3)])).allowed


async def test_a_rested_allowance_is_full_and_not_fuller(world: World) -> None:
    """However long nobody asks, no more than the quota is saved up."""
    await world.store.spend([per_day("a", 2)])
    world.advance(90 * 86400)
    results = [await world.store.spend([per_day("a", 2)]) for _ in range(3)]
    assert [result.allowed for result in results] == [True, True, False]


async def test_a_refused_request_spends_of_no_allowance(world: World) -> None:
    """Where one of several has nothing left, the others keep what they have."""
    assert (await world.store.spend([per_day("narrow", 1)])).allowed
    refused = await world.store.spend([per_day("wide", 9), per_day("narrow", 1)])
    assert (refused.allowed, refused.debts[0]) == (False, 0)
    assert round((await world.store.spend([per_day("wide", 9)])).debts[0] / HOUR, 2) == 1


async def test_parallel_requests_share_an_allowance(world: World) -> None:
    """Of 100 requests at once, exactly the quota passes."""
    results = await asyncio.gather(*(world.store.spend([per_day("a", 17), per_day("b", 50)]) for _ in range(100)))
    assert Counter(result.allowed for result in results) == {True: 17, False: 83}


async def test_a_lower_quota_holds_at_once(world: World) -> None:
    """A debt from a larger quota counts as a full one: the client waits for one unit, not for all of the old debt."""
    for _ in range(50):
        await world.store.spend([per_day("a", 50)])
    refused = await world.store.spend([per_day("a", 2)])
    assert (refused.allowed, refused.debts) == (False, (2 * HOUR,))


async def test_a_key_is_claimed_once(world: World) -> None:
    """Of 100 claims at once one is granted; the others see its fingerprint, and no answer yet."""
    claims = await asyncio.gather(
        *(world.store.claim("galaxy:idempotency:k", b"%d" % number, b"p%d" % number, 60) for number in range(100))
    )
    granted = [number for number, claim in enumerate(claims) if claim.granted]
    assert len(granted) == 1
    others = {claim for claim in claims if not claim.granted}
    assert others == {Claim(False, b"p%d" % granted[0])}


async def test_an_answer_replaces_its_claim(world: World) -> None:
    """Who claims a finished key gets the answer, octet for octet."""
    answer = bytes(range(256)) * 1024
    await world.store.claim("galaxy:idempotency:k", ME, PRINT, 60)
    assert await world.store.finish("galaxy:idempotency:k", ME, PRINT, answer, 86400)
    assert await world.store.claim("galaxy:idempotency:k", OTHER, b"other", 60) == Claim(False, PRINT, answer)


async def test_an_answer_is_kept_beyond_the_lease_and_then_forgotten(world: World) -> None:
    """The claim's time limit ends with the claim; the answer has its own."""
    await world.store.claim("galaxy:idempotency:k", ME, PRINT, 60)
    await world.store.finish("galaxy:idempotency:k", ME, PRINT, b"", 86400)
    world.advance(86000)
    assert (await world.store.claim("galaxy:idempotency:k", OTHER, PRINT, 60)).answer == b""
    world.advance(401)
    assert (await world.store.claim("galaxy:idempotency:k", OTHER, PRINT, 60)).granted


async def test_a_claim_expires(world: World) -> None:
    """A key whose owner died can be claimed after its lease, not before."""
    await world.store.claim("galaxy:idempotency:k", ME, PRINT, 60)
    world.advance(55)
    assert not (await world.store.claim("galaxy:idempotency:k", OTHER, PRINT, 60)).granted
    world.advance(6)
    assert (await world.store.claim("galaxy:idempotency:k", OTHER, PRINT, 60)).granted


async def test_an_expired_owner_replaces_no_newer_claim(world: World) -> None:
    """Its answer is not kept, nor does it free the key: the newer owner's answer is."""
    await world.store.claim("galaxy:idempotency:k", ME, PRINT, 60)
    world.advance(61)
    await world.store.claim("galaxy:idempotency:k", OTHER, PRINT, 60)
    assert not await world.store.finish("galaxy:idempotency:k", ME, PRINT, b"late", 86400)
    assert not await world.store.abandon("galaxy:idempotency:k", ME)
    assert await world.store.claim("galaxy:idempotency:k", ME, PRINT, 60) == Claim(False, PRINT)
    assert await world.store.finish("galaxy:idempotency:k", OTHER, PRINT, b"newer", 86400)
    assert not await world.store.finish("galaxy:idempotency:k", ME, PRINT, b"late", 86400)
    assert (await world.store.claim("galaxy:idempotency:k", ME, PRINT, 60)).answer == b"newer"


async def test_an_expired_owner_without_a_successor_keeps_its_answer(world: World) -> None:
    """Where nobody has claimed the key since, a late answer is better than a second run."""
    await world.store.claim("galaxy:idempotency:k", ME, PRINT, 60)
    world.advance(61)
    assert await world.store.finish("galaxy:idempotency:k", ME, PRINT, b"late", 86400)
    assert await world.store.claim("galaxy:idempotency:k", OTHER, b"x", 60) == Claim(False, PRINT, b"late")


async def test_an_abandoned_key_is_free(world: World) -> None:
    """It can be claimed at once, and abandoning it again says that there was nothing."""
    await world.store.claim("galaxy:idempotency:k", ME, PRINT, 60)
    assert await world.store.abandon("galaxy:idempotency:k", ME)
    assert not await world.store.abandon("galaxy:idempotency:k", ME)
    assert (await world.store.claim("galaxy:idempotency:k", OTHER, PRINT, 60)).granted


async def test_an_answer_cannot_be_abandoned(world: World) -> None:
    """What is kept stays, whoever asks."""
    await world.store.claim("galaxy:idempotency:k", ME, PRINT, 60)
    await world.store.finish("galaxy:idempotency:k", ME, PRINT, b"answer", 86400)
    assert not await world.store.abandon("galaxy:idempotency:k", ME)
    assert (await world.store.claim("galaxy:idempotency:k", ME, PRINT, 60)).answer == b"answer"


async def test_a_store_that_works_answers_a_ping(world: World) -> None:
    """However often."""
    for _ in range(3):
        await world.store.ping()
