"""Reactions to blocked and deleted accounts."""

from datetime import timedelta
from typing import Any
from uuid import UUID

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
    account_id = UUID(signed_in["account"]["id"])
    deleted_at = world.clock.now()
    world.accounts.change(account_id, email=None, deleted_at=deleted_at)
    await world.tell(AccountDeleted(account_id, "Ada.Lovelace@example.test", deleted_at))
    await _until_revoked(world, signed_in)
    assert (await world.confirm(challenge, code))[1]["code"] == "challenge_closed"
    assert (await world.send("ada.lovelace@example.test"))[0] == 429
    async with world.database.reading() as connection:
        rows = (await connection.exec_driver_sql("SELECT t::text FROM auth_challenges t")).scalars().all()
    assert len(rows) == 2
    assert "lovelace" not in "".join(rows).lower()


async def test_a_late_deletion_spares_a_new_beginning(world: Any) -> None:
    """A code requested after the deletion is valid, even when the fact is delivered later."""
    signed_in = await world.sign_in()
    account_id = UUID(signed_in["account"]["id"])
    deleted_at = world.clock.now()
    world.accounts.change(account_id, email=None, deleted_at=deleted_at)
    world.clock.advance(timedelta(minutes=1))
    challenge, code = await world.challenge()
    await world.tell(AccountDeleted(account_id, "ada@example.test", deleted_at))
    await _until_revoked(world, signed_in)
    status, answer = await world.confirm(challenge, code)
    assert (status, answer["account"]["id"] != str(account_id)) == (201, True)
