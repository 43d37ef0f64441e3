"""The service: the contract, which its fake must keep too, and the effects on other replicas and listeners."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from datetime import UTC, timedelta
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import text

from galaxy_contracts.access import ADMIN_AUTHENTICATOR, USER_AUTHENTICATOR
from galaxy_contracts.accounts import ACCOUNTS, AccountBlocked, AccountDeleted, Accounts, Registration
from galaxy_contracts.testing import FakeAccounts, FakeAdmins, FakeUsers
from galaxy_devkit.testing.kernel import Boot, offering
from galaxy_user.plugin import UserPlugin

Subject = tuple[Accounts, Callable[[], AbstractAsyncContextManager[Any]]]


@pytest.fixture(params=["real", "fake"])
def subject(request: pytest.FixtureRequest) -> Subject:
    """Return an implementation of `Accounts` and where its connections come from."""
    if request.param == "fake":
        return FakeAccounts(), lambda: nullcontext(None)
    world: Any = request.getfixturevalue("world")
    return world.accounts, world.database.transaction


async def test_contract_creates_once(subject: Subject) -> None:
    """The first sign-in makes an account from the registration; the next one, in another spelling, finds it."""
    accounts, transaction = subject
    async with transaction() as connection:
        made, created = await accounts.find_or_create(
            connection, Registration("Ada@Example.test", "de-AT", "Europe/Vienna", "AT")
        )
    async with transaction() as connection:
        found, again = await accounts.find_or_create(connection, Registration("ada@EXAMPLE.test"))
    assert (created, again) == (True, False)
    assert found == made == accounts.get(made.id)
    assert (made.email, made.language, made.time_zone) == ("Ada@Example.test", "de-AT", "Europe/Vienna")
    assert (made.declared_country, made.active) == ("AT", True)
    assert made.created_at.tzinfo == UTC


async def test_contract_finds(subject: Subject) -> None:
    """`find` knows an address in any spelling, and returns None for others and for anything that is not an address."""
    accounts, transaction = subject
    async with transaction() as connection:
        made, _ = await accounts.find_or_create(connection, Registration("x@Bücher.example"))
    async with transaction() as connection:
        assert await accounts.find(connection, "X@xn--bcher-kva.example") == made
        assert await accounts.find(connection, "y@xn--bcher-kva.example") is None
        assert await accounts.find(connection, "no address") is None
    assert accounts.get(uuid4()) is None


async def test_contract_refuses_what_is_no_address(subject: Subject) -> None:
    """No account is created for anything that is not an address."""
    accounts, transaction = subject
    with pytest.raises(ValueError, match="e-mail address"):
        async with transaction() as connection:
            await accounts.find_or_create(connection, Registration("a@b.test\r\n"))


async def test_one_account_under_parallel_sign_ins(world: Any) -> None:
    """Of 50 sign-ins of one address at once all get the same account, and one of them has made it."""

    async def sign_in(number: int) -> Any:
        spelling = "Ada@example.test" if number % 2 else "ada@EXAMPLE.test"
        async with world.database.transaction() as connection:
            return await world.accounts.find_or_create(connection, Registration(spelling))

    found = await asyncio.gather(*(sign_in(number) for number in range(50)))
    assert len({account.id for account, _ in found}) == 1
    assert sum(created for _, created in found) == 1


async def test_rolled_back_account_never_was(world: Any) -> None:
    """An account whose transaction rolls back is neither in the table nor in memory."""
    with pytest.raises(RuntimeError, match="on purpose"):
        async with world.database.transaction() as connection:
            account, _ = await world.accounts.find_or_create(connection, Registration("a@b.test"))
            raise RuntimeError("on purpose")
    assert world.accounts.get(account.id) is None
    async with world.database.transaction() as connection:
        assert await world.accounts.find(connection, "a@b.test") is None


async def test_deletion_scrubs_and_is_told(world: Any, heard: list[Any]) -> None:
    """Deleting leaves an id and dates, frees the address, and passes the old address to the listeners."""
    account = await world.account("Ada@example.test", language="de", time_zone="Europe/Vienna", declared_country="AT")
    await world.ask("POST", f"/api/v1/admin/users/{account.id}/block", json={"reason": "Ada was rude"})
    await world.ask("DELETE", f"/api/v1/admin/users/{account.id}")
    row = await world.row(account)
    assert "ada" not in str(row).lower()
    kept = {name for name, value in row.items() if value not in (None, "en", "UTC", "Deleted player")}
    assert kept == {"id", "created_at", "blocked_at", "deleted_at"}
    assert not world.accounts.get(account.id).active
    await _until(lambda: any(isinstance(fact, AccountDeleted) for fact in heard))
    [fact] = [fact for fact in heard if isinstance(fact, AccountDeleted)]
    assert (fact.account_id, fact.email) == (account.id, "Ada@example.test")
    async with world.database.reading() as connection:
        now = (await connection.exec_driver_sql("SELECT clock_timestamp()")).scalar_one()
    assert timedelta(0) < now - fact.deleted_at < timedelta(minutes=1), "the database's time, not the injected clock's"
    again = await world.account("ada@example.test")
    assert again.id != account.id


async def test_deletion_leaves_nothing_in_the_feed(world: Any) -> None:
    """The versions of the account before its deletion are gone from the change feed with the same transaction."""
    account = await world.account("Ada@example.test", language="de", time_zone="Europe/Vienna", declared_country="AT")
    other = await world.account("bob@example.test")
    assert (await world.ask("PATCH", "/api/v1/user/account", user=account, json={"display_name": "Countess"}))[0] == 200
    await world.ask("DELETE", "/api/v1/user/account", user=account)
    async with world.database.reading() as connection:
        query = "SELECT payload FROM feed_changes WHERE topic = 'user'"
        payloads = (await connection.exec_driver_sql(query)).scalars().all()
    [left] = [payload for payload in payloads if str(account.id) in payload]
    assert [str(other.id) in payload for payload in payloads if "bob@example.test" in payload] == [True]
    assert not [word for word in ("ada", "countess", "vienna", '"de"', "AT") if word in left]


async def test_locked_accounts_are_deleted_later(world: Any) -> None:
    """A deletion waits for whoever has locked the account, changes of the profile do not; then the row shows it."""
    account, other = await world.account("ada@example.test"), await world.account("bob@example.test")
    delete = f"/api/v1/admin/users/{account.id}"
    async with world.database.transaction() as connection:
        locked = await world.accounts.lock(connection, [account.id, other.id, uuid4()])
        assert locked == {account.id: account, other.id: other}
        deleting = asyncio.create_task(world.ask("DELETE", delete))
        await world.ask("POST", f"/api/v1/admin/users/{other.id}/block")
        waiting = text("SELECT count(*) FROM pg_locks WHERE NOT granted")
        async with asyncio.timeout(10):
            while not (await connection.execute(waiting)).scalar_one():
                await asyncio.sleep(0.01)
        assert not deleting.done()
    await deleting
    async with world.database.transaction() as connection:
        found = await world.accounts.lock(connection, [account.id])
    assert found[account.id].deleted_at is not None and found[account.id].email is None


async def test_block_is_told_once(world: Any, heard: list[Any]) -> None:
    """Blocking twice, and blocking a deleted account, record no more than one fact."""
    account = await world.account()
    for _ in range(2):
        await world.ask("POST", f"/api/v1/admin/users/{account.id}/block")
    await world.ask("DELETE", f"/api/v1/admin/users/{account.id}")
    await world.ask("POST", f"/api/v1/admin/users/{account.id}/block")
    await _until(lambda: len(heard) >= 2)
    assert sorted(type(fact).__name__ for fact in heard) == ["AccountBlocked", "AccountDeleted"]
    assert AccountBlocked(account.id) in heard


async def test_block_waits_for_a_sign_in_under_way(world: Any) -> None:
    """While a sign-in holds its account it cannot be blocked: listeners of the block see the session."""
    account = await world.account()
    async with world.database.transaction() as connection:
        await world.accounts.find_or_create(connection, Registration("player@example.test"))
        block = asyncio.create_task(world.ask("POST", f"/api/v1/admin/users/{account.id}/block"))
        await _until_waiting(world)
        assert not block.done()
    assert (await block)[0] == 200


async def test_sign_in_sees_a_block_under_way(world: Any) -> None:
    """A sign-in that waited for a block gets the blocked account, not the one it began to read."""
    account = await world.account()
    async with world.database.transaction() as connection:
        await connection.exec_driver_sql("UPDATE accounts SET blocked_at = now()")
        sign_in = asyncio.create_task(world.account())
        await _until_waiting(world)
    assert not (await sign_in).active
    assert (await sign_in).id == account.id


async def test_other_replica_follows(world: Any, boot: Boot) -> None:
    """A block on one replica is in the other's memory within a second."""
    account = await world.account()
    fakes = offering("fakes", {USER_AUTHENTICATOR: FakeUsers(), ADMIN_AUTHENTICATOR: FakeAdmins()})
    async with boot(UserPlugin, fakes, dsn=world.booted.dsn) as other:
        accounts = other.kernel.services.require(ACCOUNTS, asked_by="the test")
        assert accounts.get(account.id) == account
        await world.ask("POST", f"/api/v1/admin/users/{account.id}/block")
        blocked = world.accounts.get(account.id)
        await _until(lambda: accounts.get(account.id) == blocked, seconds=1)


async def test_times_come_from_the_clock(world: Any) -> None:
    """Dates are those of the injected clock."""
    account = await world.account()
    world.clock.advance(timedelta(days=3))
    await world.ask("POST", f"/api/v1/admin/users/{account.id}/block")
    blocked = world.accounts.get(account.id)
    assert blocked.blocked_at - account.created_at == timedelta(days=3)


async def _until(condition: Callable[[], bool], seconds: float = 5.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # this happens in the kernel, which has no event for it
            await asyncio.sleep(0.01)


async def _until_waiting(world: Any) -> None:
    """Wait until a statement waits for a lock."""
    query = "SELECT count(*) FROM pg_locks WHERE NOT granted"
    async with asyncio.timeout(5), world.database.reading() as connection:
        while not (await connection.exec_driver_sql(query)).scalar_one():
            await asyncio.sleep(0.01)
