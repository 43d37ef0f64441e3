"""Hashing: few at a time, even when callers are cancelled."""

import asyncio
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from galaxy_admin.domain import AdminAccount
from galaxy_admin.passwords import AT_ONCE, PLACES, Passwords
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
    assert await passwords.verify(account, "right") and passwords.remembers(account, "right")
    assert not await passwords.verify(account, "wrong") and not passwords.remembers(account, "wrong")
    assert not await passwords.verify(None, "right")
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


async def test_places_are_counted() -> None:
    """When all places are taken the answer is 503; a place that was left is free again."""
    passwords = Passwords(object())  # type: ignore[arg-type] # nothing is hashed
    held = [passwords.place() for _ in range(PLACES)]
    for place in held:
        place.__enter__()
    with pytest.raises(Problem) as refused, passwords.place():
        pass
    assert (refused.value.status, refused.value.code) == (503, "admin_busy")
    assert refused.value.headers == {"Retry-After": "1"}
    held.pop().__exit__(None, None, None)
    with passwords.place():
        pass
