"""Admin accounts from outside: a booted kernel with the admin plugin alone, over HTTP."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text

from galaxy_admin.domain import FREE_TRIES
from galaxy_devkit.testing import ManualClock

ADMINS = "/api/v1/admin/admins"
FIRST = "the first password"
CHANGED = "correct horse battery"


async def test_bootstrap_password_opens_only_its_own_change(world: Any) -> None:
    """The first password must be changed before it opens anything."""
    status, body = await world.ask("GET", ADMINS, password=FIRST)
    assert (status, body["code"]) == (403, "password_rotation_required")
    assert await world.rotate() == 204
    assert (await world.ask("GET", ADMINS))[0] == 200
    assert (await world.ask("GET", ADMINS, password=FIRST))[0] == 401


async def test_bootstrap_never_overwrites(make_world: Any, world: Any) -> None:
    """A restart with other bootstrap values changes nothing."""
    assert await world.rotate() == 204
    second = await make_world(beside=world, password="another password")
    assert (await second.ask("GET", ADMINS, password="another password"))[0] == 401
    status, body = await second.ask("GET", ADMINS)
    assert (status, [admin["username"] for admin in body["items"]]) == (200, ["Root"])


async def test_new_admin_must_change_the_password_given_to_them(world: Any) -> None:
    """The creator of an account knows its password only until it is first used."""
    await world.rotate()
    status, admin = await world.ask("POST", ADMINS, json={"username": "Ada", "password": "made by root once"})
    assert (status, admin["must_rotate"]) == (201, True)
    assert (await world.ask("GET", ADMINS, user="ada", password="made by root once"))[0] == 403
    assert await world.rotate(user="ada", current="made by root once", new="known to her alone") == 204
    assert (await world.ask("GET", ADMINS, user="ADA", password="known to her alone"))[0] == 200
    assert (await world.ask("POST", ADMINS, json={"username": "ada", "password": CHANGED}))[0] == 409


async def test_disabled_admin_is_out_at_once_and_root_cannot_disable_itself(world: Any) -> None:
    """Disabling closes an account; one operator always remains."""
    await world.rotate()
    _, ada = await world.ask("POST", ADMINS, json={"username": "ada", "password": "made by root once"})
    await world.rotate(user="ada", current="made by root once", new="known to her alone")
    assert (await world.ask("POST", f"{ADMINS}/{ada['id']}/disable"))[0] == 200
    assert (await world.ask("GET", ADMINS, user="ada", password="known to her alone"))[0] == 401
    _, page = await world.ask("GET", ADMINS)
    root = next(admin for admin in page["items"] if admin["username"] == "Root")
    status, body = await world.ask("POST", f"{ADMINS}/{root['id']}/disable")
    assert (status, body["code"]) == (409, "own_account")
    assert (await world.ask("POST", f"{ADMINS}/{ada['id']}/enable"))[0] == 200
    assert (await world.ask("GET", ADMINS, user="ada", password="known to her alone"))[0] == 200


async def test_wrong_passwords_lock_with_growing_delay(world: Any, clock: ManualClock) -> None:
    """After the free attempts each wrong one locks for twice as long; the right one inside a lock is refused."""
    await world.rotate()
    await world.ask("GET", ADMINS, password=CHANGED)
    for _ in range(FREE_TRIES + 1):
        assert (await world.ask("GET", ADMINS, password="wrong"))[0] == 401
    status, body = await world.ask("GET", ADMINS, password="wrong as well")
    assert (status, body["code"]) == (429, "admin_locked")
    clock.advance(timedelta(seconds=1))
    assert (await world.ask("GET", ADMINS, password="wrong"))[0] == 401
    clock.advance(timedelta(seconds=1))
    assert (await world.ask("GET", ADMINS, password="wrong"))[0] == 429
    clock.advance(timedelta(seconds=1))
    assert (await world.ask("GET", ADMINS, password="wrong"))[0] == 401


async def test_lock_does_not_shut_out_who_is_in(world: Any) -> None:
    """A signed-in operator keeps working while another client guesses at their name."""
    await world.rotate()
    assert (await world.ask("GET", ADMINS))[0] == 200
    for _ in range(FREE_TRIES + 2):
        await world.ask("GET", ADMINS, password="wrong")
    assert (await world.ask("GET", ADMINS))[0] == 200


async def test_parallel_guesses_are_counted_before_they_are_evaluated(world: Any) -> None:
    """Forty guesses at once are evaluated no more often than in a row."""
    await world.rotate()
    statuses = await asyncio.gather(*(world.ask("GET", ADMINS, password=f"guess {n}") for n in range(40)))
    evaluated = sum(status == 401 for status, _ in statuses)
    assert evaluated == FREE_TRIES + 1
    assert all(status in (401, 429, 503) for status, _ in statuses), "those without a place were not counted"


@pytest.mark.parametrize(
    ("new", "says"),
    [
        ("short", "at least 12"),
        ("root root root root", "user name"),
        (FIRST, "must differ"),
        ("tab\tin the middle", "control"),
        ("passwordpassword", "guessed first"),
        ("123456789012", "guessed first"),
        ("aaaaaaaaaaaa", "guessed first"),
        ("QwertyUiopAsdf", "guessed first"),
    ],
)
async def test_weak_passwords_are_refused_by_field(world: Any, new: str, says: str) -> None:
    """A new password is long, new, and has no user name in it."""
    body = {"current_password": FIRST, "new_password": new}
    status, problem = await world.ask("PUT", f"{ADMINS}/me/password", password=FIRST, json=body)
    assert status == 422
    assert problem["errors"][0]["field"] == "new_password"
    assert says in problem["errors"][0]["message"]


async def test_passwords_are_argon2id_and_nowhere_plain(world: Any) -> None:
    """What is stored is an Argon2id hash."""
    await world.rotate()
    async with world.database.reading() as connection:
        rows = (await connection.execute(text("SELECT a::text FROM admin_accounts a"))).scalars().all()
        log = (await connection.execute(text("SELECT a::text FROM admin_audit_log a"))).scalars().all()
    assert all("$argon2id$" in row for row in rows)
    assert not any(secret in row for row in [*rows, *log] for secret in (FIRST, CHANGED))


async def test_a_reset_wins_over_a_change_under_way(make_world: Any, gated: Any) -> None:
    """A password that was reset while its owner was changing it stays reset: the change is 409, nothing is lost."""
    hasher = gated("chosen by herself")
    world = await make_world(hasher=hasher)
    await world.rotate()
    change = asyncio.create_task(world.rotate(current=CHANGED, new="chosen by herself"))
    await hasher.until_reached()
    assert (await world.command("reset-password", "root", "--stdin", given="given by telephone")).exit_code == 0
    hasher.gate.set()
    assert await change == 409
    await world.until_closed(CHANGED)
    assert (await world.ask("GET", ADMINS, password="chosen by herself"))[0] == 401
    status, problem = await world.ask("GET", ADMINS, password="given by telephone")
    assert (status, problem["code"]) == (403, "password_rotation_required")


async def test_of_two_changes_at_once_one_counts(make_world: Any, gated: Any) -> None:
    """Of two changes that began from the same password one is stored, and the other is 409."""
    hasher = gated("the one password", "the other password")
    world = await make_world(hasher=hasher)
    await world.rotate()
    changes = [
        asyncio.create_task(world.rotate(current=CHANGED, new=new))
        for new in ("the one password", "the other password")
    ]
    await hasher.until_reached(2)
    hasher.gate.set()
    statuses = await asyncio.gather(*changes)
    assert sorted(statuses) == [204, 409]
    opened = [(await world.ask("GET", ADMINS, password=each))[0] for each in ("the one password", "the other password")]
    assert opened == [200 if status == 204 else 401 for status in statuses]


async def test_who_is_disabled_meanwhile_changes_nothing(make_world: Any, gated: Any) -> None:
    """A change under way when its owner is disabled is 409: it does not open the account again."""
    hasher = gated("chosen by herself")
    world = await make_world(hasher=hasher)
    await world.rotate()
    _, ada = await world.ask("POST", ADMINS, json={"username": "ada", "password": "made by root once"})
    change = asyncio.create_task(world.rotate(user="ada", current="made by root once", new="chosen by herself"))
    await hasher.until_reached()
    assert (await world.ask("POST", f"{ADMINS}/{ada['id']}/disable"))[0] == 200
    hasher.gate.set()
    assert await change == 409
    assert (await world.ask("GET", ADMINS, user="ada", password="chosen by herself"))[0] == 401
