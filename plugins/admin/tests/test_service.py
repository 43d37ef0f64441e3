"""Admin accounts from outside: a booted kernel with the admin plugin alone, over HTTP."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from aiohttp import encode_basic_auth
from argon2 import PasswordHasher
from pydantic import SecretStr, ValidationError
from sqlalchemy import text

from galaxy_admin.domain import FREE_TRIES, lock_after
from galaxy_admin.plugin import AdminPlugin
from galaxy_admin.settings import AdminSettings
from galaxy_kernel.testing import Boot, Booted, ManualClock

FIRST = "the first password"
CHANGED = "correct horse battery"
BOOTSTRAP = {"BACKEND_ADMIN_BOOTSTRAP_USER": "Root", "BACKEND_ADMIN_BOOTSTRAP_PASSWORD": FIRST}
ADMINS = "/api/v1/admin/admins"


class QuickAdmin(AdminPlugin):
    """The plugin with a hash that takes no time."""

    hasher = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)


@pytest.fixture
async def booted(boot: Boot, clock: ManualClock) -> AsyncIterator[Booted]:
    async with boot(QuickAdmin, environment=BOOTSTRAP, clock=clock) as booted:
        yield booted


async def call(
    booted: Booted, method: str, path: str, *, user: str = "root", password: str = CHANGED, json: Any = None
) -> tuple[int, Any]:
    headers = {"Authorization": encode_basic_auth(user, password)}
    async with booted.client.request(method, path, json=json, headers=headers) as response:
        return response.status, await response.json() if response.content_type.endswith("json") else None


async def rotate(booted: Booted, *, user: str = "root", current: str = FIRST, new: str = CHANGED) -> int:
    body = {"current_password": current, "new_password": new}
    return (await call(booted, "PUT", f"{ADMINS}/me/password", user=user, password=current, json=body))[0]


async def test_bootstrap_password_opens_only_its_own_change(booted: Booted) -> None:
    """The first password must be changed before it opens anything."""
    status, body = await call(booted, "GET", ADMINS, password=FIRST)
    assert (status, body["code"]) == (403, "password_rotation_required")
    assert await rotate(booted) == 204
    assert (await call(booted, "GET", ADMINS))[0] == 200
    assert (await call(booted, "GET", ADMINS, password=FIRST))[0] == 401


async def test_bootstrap_never_overwrites(boot: Boot, booted: Booted) -> None:
    """A restart with other bootstrap values changes nothing."""
    assert await rotate(booted) == 204
    environment = BOOTSTRAP | {"BACKEND_ADMIN_BOOTSTRAP_PASSWORD": "another password"}
    async with boot(QuickAdmin, environment=environment, dsn=booted.dsn) as second:
        assert (await call(second, "GET", ADMINS, password="another password"))[0] == 401
        status, body = await call(second, "GET", ADMINS)
        assert (status, [admin["username"] for admin in body["items"]]) == (200, ["Root"])


async def test_new_admin_must_change_the_password_given_to_them(booted: Booted) -> None:
    """Who makes an account knows its password only until it is first used."""
    await rotate(booted)
    status, admin = await call(booted, "POST", ADMINS, json={"username": "Ada", "password": "made by root once"})
    assert (status, admin["must_rotate"]) == (201, True)
    assert (await call(booted, "GET", ADMINS, user="ada", password="made by root once"))[0] == 403
    assert await rotate(booted, user="ada", current="made by root once", new="known to her alone") == 204
    assert (await call(booted, "GET", ADMINS, user="ADA", password="known to her alone"))[0] == 200
    assert (await call(booted, "POST", ADMINS, json={"username": "ada", "password": CHANGED}))[0] == 409


async def test_disabled_admin_is_out_at_once_and_root_cannot_disable_itself(booted: Booted) -> None:
    """Disabling closes an account; one operator always remains."""
    await rotate(booted)
    _, ada = await call(booted, "POST", ADMINS, json={"username": "ada", "password": "made by root once"})
    await rotate(booted, user="ada", current="made by root once", new="known to her alone")
    assert (await call(booted, "POST", f"{ADMINS}/{ada['id']}/disable"))[0] == 200
    assert (await call(booted, "GET", ADMINS, user="ada", password="known to her alone"))[0] == 401
    _, page = await call(booted, "GET", ADMINS)
    root = next(admin for admin in page["items"] if admin["username"] == "Root")
    status, body = await call(booted, "POST", f"{ADMINS}/{root['id']}/disable")
    assert (status, body["code"]) == (409, "own_account")
    assert (await call(booted, "POST", f"{ADMINS}/{ada['id']}/enable"))[0] == 200
    assert (await call(booted, "GET", ADMINS, user="ada", password="known to her alone"))[0] == 200


async def test_wrong_passwords_lock_with_growing_delay(booted: Booted, clock: ManualClock) -> None:
    """After the free tries each wrong one locks for twice as long; the right one inside a lock does not open."""
    await rotate(booted)
    await call(booted, "GET", ADMINS, password=CHANGED)
    for _ in range(FREE_TRIES + 1):
        assert (await call(booted, "GET", ADMINS, password="wrong"))[0] == 401
    status, body = await call(booted, "GET", ADMINS, password="wrong as well")
    assert (status, body["code"]) == (429, "admin_locked")
    clock.advance(timedelta(seconds=1))
    assert (await call(booted, "GET", ADMINS, password="wrong"))[0] == 401
    clock.advance(timedelta(seconds=1))
    assert (await call(booted, "GET", ADMINS, password="wrong"))[0] == 429
    clock.advance(timedelta(seconds=1))
    assert (await call(booted, "GET", ADMINS, password="wrong"))[0] == 401


async def test_lock_does_not_shut_out_who_is_in(booted: Booted) -> None:
    """An operator at work goes on working while somebody else guesses at their name."""
    await rotate(booted)
    assert (await call(booted, "GET", ADMINS))[0] == 200
    for _ in range(FREE_TRIES + 2):
        await call(booted, "GET", ADMINS, password="wrong")
    assert (await call(booted, "GET", ADMINS))[0] == 200


async def test_parallel_guesses_are_counted_before_they_are_evaluated(booted: Booted) -> None:
    """Forty guesses at once are evaluated no more often than in a row."""
    await rotate(booted)
    statuses = await asyncio.gather(*(call(booted, "GET", ADMINS, password=f"guess {n}") for n in range(40)))
    evaluated = sum(status == 401 for status, _ in statuses)
    assert evaluated == FREE_TRIES + 1
    assert all(status in (401, 429) for status, _ in statuses)


def test_lock_grows_to_a_quarter_of_an_hour() -> None:
    """1 s, doubled each time, at most 15 min."""
    assert lock_after(FREE_TRIES) is None
    assert lock_after(FREE_TRIES + 1) == timedelta(seconds=1)
    assert lock_after(FREE_TRIES + 4) == timedelta(seconds=8)
    assert lock_after(10_000) == timedelta(minutes=15)


@pytest.mark.parametrize(
    ("new", "says"),
    [
        ("short", "at least 12"),
        ("root root root root", "user name"),
        (FIRST, "must differ"),
        ("tab\tin the middle", "control"),
    ],
)
async def test_weak_passwords_are_refused_by_field(booted: Booted, new: str, says: str) -> None:
    """A new password is long, new, and has no user name in it."""
    body = {"current_password": FIRST, "new_password": new}
    status, problem = await call(booted, "PUT", f"{ADMINS}/me/password", password=FIRST, json=body)
    assert status == 422
    assert problem["errors"][0]["field"] == "new_password"
    assert says in problem["errors"][0]["message"]


async def test_every_unsafe_request_leaves_a_row(booted: Booted) -> None:
    """The audit log holds who, what, on what, how it ended and the request id, refused ones included."""
    await rotate(booted)
    status, _ = await call(booted, "POST", ADMINS, json={"username": "ada", "password": "short"})
    assert status == 422
    await call(booted, "POST", ADMINS, json={"username": "ada", "password": "made by root once"})
    _, page = await call(booted, "GET", "/api/v1/admin/audit")
    rows = [(row["username"], row["action"], row["outcome"], row["status"]) for row in page["items"]]
    assert rows == [
        ("Root", "admin.create", "done", 201),
        ("Root", "admin.create", "refused", 422),
        ("Root", "admin.change_own_password", "done", 204),
    ]
    assert all(row["request_id"] for row in page["items"])
    assert [row["target"] for row in page["items"]] == [{"username": "ada"}, {"username": "ada"}, {"username": "Root"}]
    _, only = await call(booted, "GET", "/api/v1/admin/audit?outcome=refused&username=root")
    assert only["total"] == 1


async def test_passwords_are_argon2id_and_nowhere_plain(booted: Booted) -> None:
    """What is stored is an Argon2id hash."""
    await rotate(booted)
    async with booted.database.reading() as connection:
        rows = (await connection.execute(text("SELECT a::text FROM admin_accounts a"))).scalars().all()
        log = (await connection.execute(text("SELECT a::text FROM admin_audit_log a"))).scalars().all()
    assert all("$argon2id$" in row for row in rows)
    assert not any(secret in row for row in [*rows, *log] for secret in (FIRST, CHANGED))


@pytest.mark.parametrize(("user", "password"), [("root", None), (None, SecretStr(FIRST)), ("ro:ot", SecretStr(FIRST))])
def test_a_bootstrap_that_lets_nobody_in_is_refused(user: str | None, password: SecretStr | None) -> None:
    """Half of it makes no admin, and a name that HTTP Basic cannot carry opens nothing."""
    with pytest.raises(ValidationError, match="expected"):
        AdminSettings(bootstrap_user=user, bootstrap_password=password)


async def test_anonymous_and_unknown_are_401(booted: Booted) -> None:
    """Nobody learns whether a name exists from the answer."""
    async with booted.client.get(ADMINS) as response:
        assert response.status == 401
        assert response.headers["WWW-Authenticate"].startswith("Basic")
    unknown = await call(booted, "GET", ADMINS, user="nobody", password="x")
    wrong = await call(booted, "GET", ADMINS, password="x")
    assert unknown[0] == wrong[0] == 401
    assert {key: value for key, value in unknown[1].items() if key != "request_id"} == {
        key: value for key, value in wrong[1].items() if key != "request_id"
    }
