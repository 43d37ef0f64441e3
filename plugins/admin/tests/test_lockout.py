"""Wrong passwords: the same for names that exist and that do not, counted by name and network (SPEC D-1)."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from argon2.exceptions import VerificationError
from structlog.testing import capture_logs

from galaxy_admin.domain import FREE_TRIES
from galaxy_admin.passwords import PLACES_EACH, STRANGERS_AT_ONCE, STRANGERS_PLACES
from galaxy_devkit.testing import ManualClock

ADMINS = "/api/v1/admin/admins"
FIRST = "the first password"
CHANGED = "correct horse battery"
ATTACKER, HOME = "203.0.113.7", "198.51.100.9"


async def tries(world: Any, number: int, **request: Any) -> list[tuple[int, str]]:
    found = [await world.ask("GET", ADMINS, **{"password": "wrong-password-1"} | request) for _ in range(number)]
    return [(status, body.get("code")) for status, body in found]


async def another_process(world: Any, make_world: Any) -> Any:
    """Return a replica that has not seen any password yet."""
    return await make_world(beside=world)


@pytest.mark.parametrize("account", ["existing", "unknown", "disabled"])
async def test_names_are_not_told_apart(world: Any, clock: ManualClock, account: str) -> None:
    """Answers, their fields and their order are the same for every name, at every step of the lock-out."""
    await world.rotate()
    _, ada = await world.ask("POST", ADMINS, json={"username": "ada", "password": "made by root once"})
    if account == "disabled":
        await world.ask("POST", f"{ADMINS}/{ada['id']}/disable")
    user = "nobody" if account == "unknown" else "ada"
    answers = await tries(world, FREE_TRIES + 3, user=user, address=ATTACKER)
    assert answers == [(401, "unauthenticated")] * (FREE_TRIES + 1) + [(429, "admin_locked")] * 2
    clock.advance(timedelta(seconds=1))
    assert await tries(world, 2, user=user, address=ATTACKER) == [(401, "unauthenticated"), (429, "admin_locked")]
    if account == "existing":
        right = await tries(world, 1, user=user, password="made by root once", address=ATTACKER)
        assert right == [(429, "admin_locked")]


async def test_nobody_locks_an_operator_out(world: Any, make_world: Any) -> None:
    """Whoever guesses at a name, from however many networks, its operator signs in from a network of their own."""
    await world.rotate()
    assert (await world.ask("GET", ADMINS, address=HOME))[0] == 200
    fresh = await another_process(world, make_world)
    for number in range(10):
        for each in (world, fresh):
            await tries(each, 1, address=ATTACKER)
            await tries(each, 1, address=f"192.0.2.{number}")
    assert (await tries(world, 1, address=ATTACKER))[0][0] == 429
    assert (await fresh.ask("GET", ADMINS, address="198.51.100.200"))[0] == 200, "a network that nobody guessed from"


async def test_a_known_network_has_a_count_of_its_own(world: Any, make_world: Any, clock: ManualClock) -> None:
    """Guesses from the same /48 do not lock the /56 that signed in; its own wrong passwords do."""
    await world.rotate()
    fresh = await another_process(world, make_world)
    assert (await fresh.ask("GET", ADMINS, address="2001:db8:1:100::1"))[0] == 200
    fresh = await another_process(world, make_world)
    assert (await tries(fresh, 9, address="2001:db8:1:200::1"))[-1][0] == 429
    assert (await tries(fresh, 1, address="2001:db8:1:300::1"))[-1][0] == 429, "strangers count by /48"
    assert (await fresh.ask("GET", ADMINS, address="2001:db8:1:1ff::1"))[0] == 200
    fresh = await another_process(world, make_world)
    assert (await tries(fresh, FREE_TRIES + 2, address="2001:db8:1:100::1"))[-1][0] == 429
    assert (await fresh.ask("GET", ADMINS, address="2001:db8:1:100::1"))[0] == 429


async def test_a_right_password_resets_the_count(world: Any, make_world: Any) -> None:
    """After it the free attempts begin again."""
    await world.rotate()
    for _ in range(2):
        fresh = await another_process(world, make_world)
        assert await tries(fresh, FREE_TRIES, address=HOME) == [(401, "unauthenticated")] * FREE_TRIES
        assert (await fresh.ask("GET", ADMINS, address=HOME))[0] == 200


async def test_a_lock_of_a_wrong_clock_heals(world: Any, make_world: Any, clock: ManualClock) -> None:
    """A lock that was written under a clock an hour ahead does not outlast its own length."""
    await world.rotate()
    fresh = await another_process(world, make_world)
    await tries(fresh, FREE_TRIES + 2, address=HOME)
    assert (await tries(fresh, 1, address=HOME))[0][0] == 429
    async with world.database.transaction() as connection:
        await connection.exec_driver_sql("UPDATE admin_sign_in_attempts SET last_at = last_at + interval '1 hour'")
    assert (await fresh.ask("GET", ADMINS, address=HOME))[0] == 200


async def test_a_reset_unlocks(world: Any) -> None:
    """A password that was reset from the command line opens at once, whatever was locked."""
    await world.rotate()
    await tries(world, FREE_TRIES + 2, address=HOME)
    done = await world.command("reset-password", "root", "--stdin", given="given on the telephone\n")
    assert done.exit_code == 0
    await world.until_closed(CHANGED)
    status, problem = await world.ask("GET", ADMINS, password="given on the telephone", address=HOME)
    assert (status, problem["code"]) == (403, "password_rotation_required")


@pytest.mark.parametrize("many", [False, True])
async def test_a_flood_shuts_nobody_out(make_world: Any, gated: Any, many: bool) -> None:
    """One network gets few places; when many take all, a network that signed in before has others."""
    hasher = gated("flood")
    world = await make_world(hasher=hasher)
    await world.rotate()
    assert (await world.ask("GET", ADMINS, address=HOME))[0] == 200
    fresh = await make_world(beside=world, hasher=hasher)
    assert (await fresh.ask("GET", ADMINS, address=HOME))[0] == 200
    fresh = await make_world(beside=world, hasher=hasher)
    places = STRANGERS_PLACES if many else PLACES_EACH

    def flooding(number: int) -> Any:
        address = f"192.0.{number // PLACES_EACH if many else 2}.0"
        return asyncio.create_task(fresh.ask("GET", ADMINS, user=f"u{number}", password="flood", address=address))

    flood = [flooding(number) for number in range(places)]
    await hasher.until_reached(STRANGERS_AT_ONCE)
    stranger = "203.0.113.9" if many else "192.0.2.0"
    async with asyncio.timeout(10), world.database.reading() as connection:
        query = "SELECT count(*) FROM admin_sign_in_attempts"
        while (await connection.exec_driver_sql(query)).scalar_one() < places:
            await asyncio.sleep(0.01)  # until each has its place
    for _ in range(FREE_TRIES + 2):
        status, problem = await fresh.ask("GET", ADMINS, password="wrong", address=stranger)
        assert (status, problem["code"]) == (503, "admin_busy"), "and is not counted"
    assert (await fresh.ask("GET", ADMINS, address=HOME))[0] == 200
    hasher.gate.set()
    assert {status for status, _ in await asyncio.gather(*flood)} == {401}
    assert (await fresh.ask("GET", ADMINS, password="wrong", address=stranger))[0] == 401


async def test_what_could_not_be_checked_burns_no_attempt(make_world: Any, gated: Any, monkeypatch: Any) -> None:
    """Without memory for Argon2 the right password is 503, for unknown names too, and locks nobody."""
    hasher = gated()
    world = await make_world(hasher=hasher)
    await world.rotate()
    fresh = await make_world(beside=world, hasher=hasher)

    def no_memory(*_: Any) -> bool:
        raise VerificationError("Memory allocation error")

    await tries(fresh, 1, user="nobody")  # makes the decoy
    with monkeypatch.context() as patched, capture_logs() as lines:
        patched.setattr(hasher, "verify", no_memory)
        for user in ("root", "nobody"):
            answers = await tries(fresh, FREE_TRIES + 3, user=user, password=CHANGED)
            assert answers == [(503, "admin_busy")] * (FREE_TRIES + 3)
    assert [line["log_level"] for line in lines if line["event"] == "admin_password_unchecked"] == ["error"] * 14
    assert (await fresh.ask("GET", ADMINS))[0] == 200


async def test_failures_and_locks_stand_in_the_audit_log(world: Any, clock: ManualClock) -> None:
    """One row a minute, action and account, which counts; what was typed as an unknown name is not kept."""
    await world.rotate()
    for _ in range(2):
        await tries(world, FREE_TRIES + 3, user="ROOT", address=ATTACKER)
        await tries(world, FREE_TRIES + 3, user="my secret password", address=ATTACKER)
        await tries(world, 1, user="another name", address=ATTACKER)
        clock.advance(timedelta(minutes=1))
    failed, locked = await world.rows("admin.sign_in_failed"), await world.rows("admin.sign_in_locked")
    names = [(row.username, row.target["count"], row.status, row.outcome) for row in failed]
    assert names[:2] == [("Root", "5", 401, "refused"), ("(unknown name)", "6", 401, "refused")]
    assert [(row.username, row.target["count"], row.status) for row in locked[:2]] == [
        ("Root", "2", 429),
        ("(unknown name)", "2", 429),
    ]
    assert len(failed) == 4
    assert not [row for row in (*failed, *locked) if "secret" in str(row) or ATTACKER in str(row)]
    _, page = await world.ask("GET", "/api/v1/admin/audit?action=admin.sign_in_failed")
    assert page["total"] == 4


async def test_failures_and_locks_are_warned_of(world: Any) -> None:
    """The log has a line for each, with the account's id or none, and never a name, a password or an address."""
    await world.rotate()
    with capture_logs() as lines:
        await tries(world, FREE_TRIES + 2, user="root", address=ATTACKER)
        await tries(world, FREE_TRIES + 2, user="nobody", address=ATTACKER)
    events = [line for line in lines if line["event"] in ("admin_sign_in_failed", "admin_locked")]
    assert len(events) == 2 * (FREE_TRIES + 2)
    assert {line["log_level"] for line in events} == {"warning"}
    assert [line["admin_id"] is None for line in events] == [False] * (FREE_TRIES + 2) + [True] * (FREE_TRIES + 2)
    assert not [word for word in ("nobody", "wrong-password-1", ATTACKER) if word in str(events)]


async def test_old_attempts_and_networks_are_pruned(world: Any, clock: ManualClock) -> None:
    """A few attempts go after an hour, many after a day, a network after sixty."""
    await world.rotate()
    await tries(world, 1, user="few", address=ATTACKER)
    await tries(world, FREE_TRIES + 2, user="many", address=ATTACKER)
    workers = dict(world.booted.kernel.assembly.plugins.call("backend_workers"))["admin"]
    run: Callable[[], Any] = next(worker.run for worker in workers if worker.name == "admin.prune")
    query = "SELECT (SELECT count(*) FROM admin_sign_in_attempts), (SELECT count(*) FROM admin_known_networks)"
    found = []
    for step in (timedelta(0), timedelta(minutes=61), timedelta(hours=24), timedelta(days=60)):
        clock.advance(step)
        await run()
        async with world.database.reading() as connection:
            found.append(tuple((await connection.exec_driver_sql(query)).one()))
    assert found == [(2, 1), (1, 1), (0, 1), (0, 0)]
