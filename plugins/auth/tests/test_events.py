"""Reactions to blocked and deleted accounts."""

import asyncio
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from galaxy_contracts.accounts import AccountBlocked, AccountDeleted
from galaxy_contracts.sessions import SessionsRevoked


async def _until_revoked(world: Any, *signed_in: Any) -> None:
    expected = {UUID(each["session_id"]) for each in signed_in}
    await world.until(
        lambda: any(isinstance(fact, SessionsRevoked) and set(fact.session_ids) == expected for fact in world.heard)
    )


async def test_a_block_ends_all_sessions(world: Any) -> None:
    """A block ends the account's sessions permanently: unblocking does not restore them. Others' stay."""
    signed_in = [await world.sign_in() for _ in range(2)]
    foreign = await world.sign_in("bob@example.test")
    await world.tell(AccountBlocked(UUID(signed_in[0]["account"]["id"])))
    await _until_revoked(world, *signed_in)
    assert [await world.works(each["session_token"]) for each in (*signed_in, foreign)] == [False, False, True]


async def test_a_deletion_scrubs_the_address(world: Any) -> None:
    """A deletion ends the sessions and removes the address from every challenge, closing them; throttles stay."""
    signed_in = await world.sign_in("Ada.Lovelace@example.test")
    world.clock.advance(timedelta(minutes=1))
    challenge, code = await world.challenge("ada.lovelace@EXAMPLE.test")
    await world.tell(await _deleted(world, signed_in, "Ada.Lovelace@example.test"))
    await _until_revoked(world, signed_in)
    assert (await world.confirm(challenge, code))[1]["code"] == "challenge_closed"
    assert (await world.send("ada.lovelace@example.test"))[0] == 429
    async with world.database.reading() as connection:
        rows = (await connection.exec_driver_sql("SELECT t::text FROM auth_challenges t")).scalars().all()
    assert len(rows) == 2
    assert "lovelace" not in "".join(rows).lower()


async def _deleted(world: Any, signed_in: Any, email: str = "ada@example.test") -> AccountDeleted:
    """Delete an account as its plugin does, but for the fact, which is returned."""
    account_id = UUID(signed_in["account"]["id"])
    async with world.database.reading() as connection:
        until = (await connection.exec_driver_sql("SELECT clock_timestamp()")).scalar_one()
    world.accounts.change(account_id, email=None, deleted_at=until)
    return AccountDeleted(account_id, email, until)


async def test_a_late_deletion_spares_a_new_beginning(world: Any) -> None:
    """A code requested after the deletion is valid, even when the fact is delivered later."""
    signed_in = await world.sign_in()
    world.clock.advance(timedelta(minutes=1))
    fact = await _deleted(world, signed_in)
    challenge, code = await world.challenge()
    await world.tell(fact)
    await _until_revoked(world, signed_in)
    status, answer = await world.confirm(challenge, code)
    assert (status, answer["account"]["id"] != str(fact.account_id)) == (201, True)


@pytest.mark.parametrize("off", [timedelta(hours=-1), timedelta(hours=1)])
async def test_a_deletion_scrubs_whatever_the_clocks_say(world: Any, off: timedelta) -> None:
    """A code requested before the deletion by a replica whose clock is off is closed, and keeps no address."""
    signed_in = await world.sign_in()
    world.clock.advance(timedelta(minutes=1))
    challenge, code = await world.challenge()
    async with world.database.transaction() as connection:
        statement = "UPDATE auth_challenges SET created_at = created_at + %s"
        await connection.exec_driver_sql(statement, (off,))
    await world.tell(await _deleted(world, signed_in))
    await _until_revoked(world, signed_in)
    assert (await world.confirm(challenge, code))[1]["code"] == "challenge_closed"
    assert "ada@" not in await world.dump()


async def test_a_deletion_waits_for_a_code_being_sent(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A request whose transaction began before the deletion and commits after its fact is handled is scrubbed too."""
    signed_in = await world.sign_in()
    world.clock.advance(timedelta(minutes=1))
    inserted, go = asyncio.Event(), asyncio.Event()
    enqueue = world.outbox.enqueue

    async def held(connection: Any, message: Any) -> Any:
        inserted.set()
        await go.wait()
        return await enqueue(connection, message)

    monkeypatch.setattr(world.outbox, "enqueue", held)
    sending = asyncio.create_task(world.send())
    await inserted.wait()
    await world.tell(await _deleted(world, signed_in))
    query = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
    async with asyncio.timeout(5), world.database.reading() as connection:
        while not (await connection.exec_driver_sql(query)).scalar_one():
            await asyncio.sleep(0.01)  # until the listener waits
    go.set()
    assert (await sending)[0] == 202
    await _until_revoked(world, signed_in)
    assert "ada@" not in await world.dump()


async def test_an_old_code_makes_no_new_account_before_the_fact_is_delivered(make_world: Any) -> None:
    """Between a deletion and its fact's delivery a code requested earlier is closed; no account is left by it."""
    world = await make_world()
    signed_in = await world.sign_in()
    world.clock.advance(timedelta(minutes=1))
    challenge, code = await world.challenge()
    fact = await _deleted(world, signed_in)
    shared = world.booted.kernel.assembly.require_resources()
    async with world.database.transaction() as connection:
        await shared.facts.record(connection, fact)
        await connection.exec_driver_sql("UPDATE facts SET next_attempt_at = now() + interval '1 hour'")
    world.clock.advance(timedelta(minutes=1))
    later, new_code = await world.challenge()
    other, other_code = await world.challenge("bob@example.test")
    assert (await world.confirm(challenge, code))[1]["code"] == "challenge_closed"
    assert (await world.confirm(other, other_code))[0] == 201, "others are not concerned"
    assert (await world.confirm(later, new_code))[0] == 201, "nor is a new beginning"


async def test_a_deletion_forgets_the_networks_of_the_account(world: Any) -> None:
    """The marks of networks go by the account's id; those of another account of the mailbox stay."""
    gone, stays = await world.sign_in("ada+1@example.test"), await world.sign_in("ada+2@example.test")
    await world.tell(await _deleted(world, gone, "ada+1@example.test"))
    await _until_revoked(world, gone)
    async with world.database.reading() as connection:
        left = (await connection.exec_driver_sql("SELECT account_id FROM auth_known_networks")).scalars().all()
    assert left == [UUID(stays["account"]["id"])]
