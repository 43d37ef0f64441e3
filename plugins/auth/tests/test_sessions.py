"""Device sessions: authentication from memory, expiry, revocation, and times of last use."""

import asyncio
import secrets
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import event
from structlog.testing import capture_logs

from galaxy_auth import queries
from galaxy_auth import sessions as sessions_module
from galaxy_auth.plugin import AuthPlugin
from galaxy_contracts.accounts import ACCOUNTS
from galaxy_contracts.mail import OUTBOX
from galaxy_contracts.sessions import SessionsRevoked
from galaxy_devkit.testing.kernel import Boot, offering

SESSIONS = "/api/v1/user/sessions"


async def test_only_real_tokens_open(world: Any) -> None:
    """A token identifies its player; anything else is refused, whatever its shape."""
    signed_in = await world.sign_in()
    token = signed_in["session_token"]
    identity = world.sessions.authenticate(token, client_address="")
    assert (str(identity.account_id), str(identity.session_id)) == (signed_in["account"]["id"], signed_in["session_id"])
    others = ["", "x", "gxs_", token[:-1], token + "x", token.swapcase(), "gxs_" + "ü" * 43, "gxs_" + "\udcff" * 43]
    others += ["gxs_" + secrets.token_urlsafe(32), "gxs_" + "A" * 10_000_000]
    assert [world.sessions.authenticate(each, client_address="") for each in others] == [None] * len(others)


async def test_authentication_asks_no_database(world: Any) -> None:
    """Authentication runs no statement."""
    token = (await world.sign_in())["session_token"]
    statements: list[str] = []
    event.listen(world.database.engine.sync_engine, "before_cursor_execute", lambda *args: statements.append(args[2]))
    assert await world.count("device_sessions") == 1
    assert len(statements) >= 1
    statements.clear()
    world.clock.advance(timedelta(hours=1))
    assert world.sessions.authenticate(token, client_address="") is not None
    assert statements == []


async def test_absolute_expiry(make_world: Any) -> None:
    """A session in daily use still ends at its absolute end."""
    world = await make_world(session_ttl="10d", session_idle_ttl="3d")
    token = (await world.sign_in())["session_token"]
    for _ in range(9):
        world.clock.advance(timedelta(days=1))
        assert await world.works(token)
    world.clock.advance(timedelta(days=1) - timedelta(microseconds=1))
    assert await world.works(token)
    world.clock.advance(timedelta(microseconds=1))
    assert not await world.works(token)


@pytest.mark.parametrize("written", [False, True])
async def test_idle_expiry(world: Any, written: bool) -> None:
    """A session ends when it was not used for so long; a use counts at once, written or not."""
    token = (await world.sign_in())["session_token"]
    world.clock.advance(timedelta(days=29))
    assert await world.works(token)
    if written:
        await world.sessions.touch()
    world.clock.advance(timedelta(days=29, hours=23))
    assert await world.works(token)
    world.clock.advance(timedelta(days=30))
    assert not await world.works(token)


async def test_a_short_idle_time_is_measured_finely(make_world: Any) -> None:
    """A session that is in use does not end because its uses were too close to each other to be noted."""
    world = await make_world(session_idle_ttl="10m")
    token = (await world.sign_in())["session_token"]
    for minutes in (4, 7):
        world.clock.advance(timedelta(minutes=minutes))
        assert await world.works(token)


async def test_blocked_and_deleted_accounts_are_out_at_once(world: Any) -> None:
    """A token is refused by its account's state in memory, before any session is revoked."""
    token = (await world.sign_in())["session_token"]
    account_id = next(iter(world.accounts.accounts))
    for field in ("blocked_at", "deleted_at"):
        world.accounts.change(account_id, **{field: world.clock.now()})
        assert not await world.works(token)
        world.accounts.change(account_id, **{field: None})
        assert await world.works(token)
    del world.accounts.accounts[account_id]
    assert not await world.works(token)


async def test_listing_own_sessions(world: Any) -> None:
    """A player sees their own living sessions, the newest first, with the one in use marked."""
    await world.sign_in("bob@example.test")
    first = await world.sign_in(device_name="Laptop")
    second = await world.sign_in(device_name="Phone")
    world.clock.advance(timedelta(minutes=7))
    status, page = await world.ask("GET", SESSIONS, token=first["session_token"])
    assert (status, page["total"]) == (200, 2)
    phone, laptop = page["items"]
    assert (phone["id"], phone["device_name"], phone["current"]) == (second["session_id"], "Phone", False)
    assert (laptop["id"], laptop["device_name"], laptop["current"]) == (first["session_id"], "Laptop", True)
    assert laptop["last_seen_at"] > phone["last_seen_at"] == phone["created_at"]
    assert "token" not in str(page)
    world.clock.advance(timedelta(days=29))
    await world.works(first["session_token"])
    await world.sessions.touch()
    world.clock.advance(timedelta(days=2))
    _, page = await world.ask("GET", SESSIONS, token=first["session_token"], params={"page_size": "1"})
    assert [item["id"] for item in page["items"]] == [first["session_id"]]


async def test_revoking_one(world: Any) -> None:
    """A revoked session is refused at once, others stay valid, and another player's session is 404."""
    mine, phone = await world.sign_in(), await world.sign_in()
    foreign = await world.sign_in("bob@example.test")
    assert (await world.ask("DELETE", f"{SESSIONS}/{foreign['session_id']}", token=mine["session_token"]))[0] == 404
    assert (await world.ask("DELETE", f"{SESSIONS}/{phone['session_id']}", token=mine["session_token"]))[0] == 204
    assert (await world.ask("DELETE", f"{SESSIONS}/{phone['session_id']}", token=mine["session_token"]))[0] == 404
    living = [await world.works(each["session_token"]) for each in (mine, phone, foreign)]
    assert living == [True, False, True]
    revoked = SessionsRevoked(UUID(mine["account"]["id"]), (UUID(phone["session_id"]),))
    await world.until(lambda: revoked in world.heard)


async def test_signing_out(world: Any) -> None:
    """A session can end itself."""
    mine = await world.sign_in()
    assert (await world.ask("DELETE", f"{SESSIONS}/{mine['session_id']}", token=mine["session_token"]))[0] == 204
    assert not await world.works(mine["session_token"])


async def test_revoking_all_others(world: Any) -> None:
    """Ending all others keeps the one in use and other players' sessions, and returns their number."""
    foreign = await world.sign_in("bob@example.test")
    signed_in = [await world.sign_in() for _ in range(3)]
    status, answer = await world.ask("DELETE", SESSIONS, token=signed_in[1]["session_token"])
    assert (status, answer["revoked"]) == (200, 2)
    living = [await world.works(each["session_token"]) for each in (*signed_in, foreign)]
    assert living == [False, True, False, True]
    assert (await world.ask("DELETE", SESSIONS, token=signed_in[1]["session_token"]))[1]["revoked"] == 0
    await world.until(lambda: any(isinstance(fact, SessionsRevoked) for fact in world.heard))
    assert len([fact for fact in world.heard if isinstance(fact, SessionsRevoked)]) == 1


async def test_revoking_rolls_back_with_its_caller(world: Any) -> None:
    """`revoke_all` belongs to the caller's transaction."""
    signed_in = await world.sign_in()
    with pytest.raises(RuntimeError, match="on purpose"):
        async with world.database.transaction() as connection:
            assert await world.sessions.revoke_all(connection, UUID(signed_in["account"]["id"])) == 1
            raise RuntimeError("on purpose")
    assert await world.works(signed_in["session_token"])


async def test_parallel_revocations_and_touches(world: Any) -> None:
    """Sessions written, revoked one by one and all together do not deadlock, and each is reported once."""
    signed_in = [await world.sign_in() for _ in range(12)]
    keeper = signed_in[0]["session_token"]
    world.clock.advance(timedelta(hours=1))
    for each in signed_in:
        await world.works(each["session_token"])
    ends = [world.ask("DELETE", f"{SESSIONS}/{each['session_id']}", token=keeper) for each in reversed(signed_in[1:])]
    all_others = [world.ask("DELETE", SESSIONS, token=keeper) for _ in range(3)]
    answers = await asyncio.gather(*ends, *all_others, *(world.sessions.touch() for _ in range(3)))
    assert {answer[0] for answer in answers if isinstance(answer, tuple)} <= {200, 204, 404}
    expected = {UUID(each["session_id"]) for each in signed_in[1:]}

    def told() -> list[UUID]:
        return [one for fact in world.heard if isinstance(fact, SessionsRevoked) for one in fact.session_ids]

    await world.until(lambda: len(told()) >= len(expected))
    assert sorted(told()) == sorted(expected)


async def test_other_replica_follows(make_world: Any) -> None:
    """A session started or revoked on one replica is known to the other within a second."""
    one = await make_world()
    other = await make_world(beside=one)
    signed_in = await one.sign_in()
    token = signed_in["session_token"]

    def known() -> bool:
        return other.sessions.authenticate(token, client_address="") is not None

    await one.until(known, seconds=1)
    await one.ask("DELETE", f"{SESSIONS}/{signed_in['session_id']}", token=token)
    await one.until(lambda: not known(), seconds=1)


async def test_uses_are_written_in_batches(make_world: Any) -> None:
    """A use is written by the worker, not by the request, only when it is news, and reaches the other replica."""
    one = await make_world()
    other = await make_world(beside=one)
    token = (await one.sign_in())["session_token"]
    world_row = "SELECT last_seen_at FROM device_sessions"

    async def stored() -> Any:
        async with one.database.reading() as connection:
            return (await connection.exec_driver_sql(world_row)).scalar_one()

    start = one.clock.now()
    one.clock.advance(timedelta(minutes=4))
    await one.works(token)
    await one.sessions.touch()
    assert await stored() == start
    one.clock.advance(timedelta(minutes=1))
    await one.works(token)
    assert await stored() == start
    await one.sessions.touch()
    assert await stored() == start + timedelta(minutes=5)
    one.clock.advance(timedelta(days=30) - timedelta(minutes=1))
    await one.until(lambda: other.sessions.authenticate(token, client_address="") is not None, seconds=1)


async def test_uses_are_written_at_the_stop(boot: Boot, make_world: Any) -> None:
    """Unwritten uses are written when the plugin stops."""
    world = await make_world()
    token = (await world.sign_in())["session_token"]
    world.clock.advance(timedelta(hours=1))
    fakes = offering("fakes", {ACCOUNTS: world.accounts, OUTBOX: world.outbox})
    async with boot(AuthPlugin, fakes, clock=world.clock, dsn=world.booted.dsn) as second:
        headers = {"Authorization": f"Bearer {token}"}
        async with second.client.get(SESSIONS, headers=headers) as response:
            assert response.status == 200
    async with world.database.reading() as connection:
        row = (await connection.exec_driver_sql("SELECT last_seen_at FROM device_sessions")).scalar_one()
    assert row == world.clock.now()


async def last_uses(world: Any) -> set[Any]:
    """Return the times of last use in the table."""
    async with world.database.reading() as connection:
        return set((await connection.exec_driver_sql("SELECT last_seen_at FROM device_sessions")).scalars())


async def test_uses_and_ends_go_in_sets(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many sessions were used or have expired, a pass takes so many, and says whether there are more."""
    monkeypatch.setattr(sessions_module, "BATCH", 2)
    tokens = [(await world.sign_in())["session_token"] for _ in range(3)]
    world.clock.advance(timedelta(hours=1))
    assert [await world.works(token) for token in tokens] == [True] * 3
    assert [await world.sessions.touch() for _ in range(3)] == [True, False, False]
    assert await last_uses(world) == {world.clock.now()}
    world.clock.advance(timedelta(days=91))
    assert [await world.sessions.prune() for _ in range(3)] == [True, False, False]
    assert await world.count("device_sessions") == 0


async def test_a_use_while_uses_are_written_is_written_next(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is later than what is being written, and is not forgotten with it; what cannot be written fails no stop."""
    token = (await world.sign_in())["session_token"]
    world.clock.advance(timedelta(hours=1))
    assert await world.works(token)
    write = queries.touch_sessions

    async def meanwhile(connection: Any, seen: Any) -> Any:
        world.clock.advance(timedelta(hours=1))
        assert world.sessions.authenticate(token, client_address="") is not None
        return await write(connection, seen)

    async def lost(*_: Any) -> Any:
        raise ConnectionResetError

    monkeypatch.setattr(queries, "touch_sessions", meanwhile)
    await world.sessions.touch()
    monkeypatch.setattr(queries, "touch_sessions", lost)
    with capture_logs() as lines:
        await world.sessions.close()
    assert [(line["sessions"], line["error"]) for line in lines if line["event"] == "last_uses_lost"] == [
        (1, "ConnectionResetError")
    ]
    monkeypatch.setattr(queries, "touch_sessions", write)
    await world.sessions.touch()
    assert await last_uses(world) == {world.clock.now()}


async def test_the_latest_use_counts_wherever_it_was(make_world: Any) -> None:
    """A replica that knows of an earlier use than the table neither ends the session by it nor writes it."""
    one = await make_world()
    other = await make_world(beside=one)
    token = (await one.sign_in())["session_token"]
    await one.until(lambda: other.sessions.authenticate(token, client_address="") is not None)
    one.clock.advance(timedelta(hours=1))
    assert other.sessions.authenticate(token, client_address="") is not None
    one.clock.advance(timedelta(days=20))
    latest = one.clock.now()
    assert await one.works(token)
    await one.sessions.touch()
    [caches] = [each for name, each in other.booted.kernel.assembly.plugins.call("backend_caches") if name == "auth"]
    await one.until(lambda: [each.last_seen_at for each in caches[0].values()] == [latest])
    await other.sessions.touch()
    assert await last_uses(one) == {latest}
    one.clock.advance(timedelta(days=29))
    assert other.sessions.authenticate(token, client_address="") is not None
