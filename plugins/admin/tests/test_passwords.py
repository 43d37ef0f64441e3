"""Hashing: few at a time, even when callers are cancelled."""

import asyncio
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from argon2.exceptions import InvalidHashError, VerificationError

from galaxy_admin.domain import AdminAccount
from galaxy_admin.passwords import OPERATORS_AT_ONCE as AT_ONCE
from galaxy_admin.passwords import PLACES_EACH, STRANGERS_AT_ONCE, STRANGERS_PLACES, Lane, Passwords
from galaxy_kernel.api import Problem

HELD = "held at the gate"


async def account_with(passwords: Passwords, password: str) -> AdminAccount:
    stored = await passwords.hash(password)
    return AdminAccount(UUID(int=1), "Root", "root", stored, False, datetime(2030, 1, 1, tzinfo=UTC))


async def turns() -> None:
    """Let every task run that can."""
    for _ in range(100):
        await asyncio.sleep(0)


async def test_right_and_wrong(gated: Any) -> None:
    """A right password is right and remembered until it changes; a wrong one, or no account, is wrong."""
    passwords = Passwords(gated())
    account = await account_with(passwords, "right")
    assert not passwords.remembers(account, "right")
    assert await passwords.verify(account, "right", passwords.strangers) and passwords.remembers(account, "right")
    assert not await passwords.verify(account, "wrong", passwords.strangers) and not passwords.remembers(
        account, "wrong"
    )
    assert not await passwords.verify(None, "right", passwords.strangers)
    changed = await account_with(passwords, "right")
    assert not passwords.remembers(changed, "right")


async def test_few_at_a_time(gated: Any) -> None:
    """No more hashes than agreed are computed at once; the others wait their turn."""
    hasher = gated(HELD)
    passwords = Passwords(hasher)
    waiting = [asyncio.create_task(passwords.hash(HELD)) for _ in range(AT_ONCE + 3)]
    await hasher.until_reached(AT_ONCE)
    await turns()
    assert hasher.reached == AT_ONCE
    hasher.gate.set()
    assert len(set(await asyncio.gather(*waiting))) == AT_ONCE + 3


async def test_who_gives_up_leaves_no_room_before_the_thread_has_ended(gated: Any) -> None:
    """A cancelled caller returns at once, but its thread continues and counts: no other starts in its place."""
    hasher = gated(HELD)
    passwords = Passwords(hasher)
    given_up = [asyncio.create_task(passwords.hash(HELD)) for _ in range(AT_ONCE)]
    await hasher.until_reached(AT_ONCE)
    for task in given_up:
        task.cancel()
    ended = await asyncio.gather(*given_up, return_exceptions=True)
    assert [type(each) for each in ended] == [asyncio.CancelledError] * AT_ONCE
    late = asyncio.create_task(passwords.hash(HELD))
    await turns()
    assert hasher.reached == AT_ONCE and not late.done()
    hasher.gate.set()
    assert (await late).startswith("$argon2id$")


async def test_a_failing_hash_leaves_its_room(gated: Any) -> None:
    """A hash that fails, its caller cancelled or not, frees its place."""
    passwords = Passwords(gated())
    for _ in range(AT_ONCE + 1):
        with pytest.raises(UnicodeEncodeError):
            await passwords.hash("\ud800")
    assert await passwords.hash("fine")


async def test_one_lane_does_not_hold_up_another(gated: Any) -> None:
    """While strangers fill their lane an operator's password is checked at once."""
    hasher = gated(HELD)
    passwords = Passwords(hasher)
    account = await account_with(passwords, "right")
    flood = [asyncio.create_task(passwords.verify(account, HELD, passwords.strangers)) for _ in range(20)]
    await hasher.until_reached(STRANGERS_AT_ONCE)
    await turns()
    assert hasher.reached == STRANGERS_AT_ONCE
    assert await passwords.verify(account, "right", passwords.operators)
    hasher.gate.set()
    assert not any(await asyncio.gather(*flood))


@pytest.mark.parametrize("error", [VerificationError("Memory allocation error"), InvalidHashError()])
async def test_what_could_not_be_computed_is_not_wrong(error: Exception) -> None:
    """Only a mismatch is a wrong password; every other error of the library is raised."""

    class Failing:
        def verify(self, stored: str, password: str) -> bool:
            raise error

    account = AdminAccount(UUID(int=1), "Root", "root", "stored", False, datetime(2030, 1, 1, tzinfo=UTC))
    passwords = Passwords(Failing())  # type: ignore[arg-type] # all it needs
    with pytest.raises(type(error)):
        await passwords.verify(account, "right", passwords.strangers)
    assert not passwords.remembers(account, "right")


async def test_places_are_counted() -> None:
    """When all places are taken, or all that one network may have, it is 503; a place that was left is free again."""
    lane = Lane(1, STRANGERS_PLACES, PLACES_EACH)
    held = [lane.place(bytes([number // PLACES_EACH])) for number in range(STRANGERS_PLACES - 1)]
    for place in held:
        place.__enter__()
    with pytest.raises(Problem), lane.place(bytes([0])):
        pass
    with lane.place(b"another"):
        with pytest.raises(Problem) as refused, lane.place(b"one more"):
            pass
        assert (refused.value.status, refused.value.code) == (503, "admin_busy")
        assert refused.value.headers == {"Retry-After": "1"}
    held.pop(0).__exit__(None, None, None)
    with lane.place(bytes([0])):
        pass
