"""The commands under `backend admin`, beside a backend that runs."""

from typing import Any

import pytest

ADMINS = "/api/v1/admin/admins"
CHANGED = "correct horse battery"
GIVEN = "given on the telephone"


async def opens(world: Any, password: str) -> int:
    status, _ = await world.ask("GET", ADMINS, password=password)
    return int(status)


async def test_reset_password(world: Any) -> None:
    """A reset replaces the password on the running backend too; the new one opens only its own change."""
    await world.rotate()
    done = await world.command("reset-password", "ROOT", "--stdin", given=f"{GIVEN}\n")
    assert (done.exit_code, done.stdout) == (0, "")
    await world.until_closed(CHANGED)
    assert await opens(world, GIVEN) == 403
    assert await world.rotate(current=GIVEN, new="chosen by herself") == 204


async def test_reset_password_makes_one(world: Any) -> None:
    """Without --stdin a password is generated and printed, and nothing else is."""
    await world.rotate()
    done = await world.command("reset-password", "root")
    made = done.stdout.removesuffix("\n")
    assert done.exit_code == 0 and len(made) == 24
    await world.until_closed(CHANGED)
    assert await opens(world, made) == 403


@pytest.mark.parametrize(
    ("username", "given", "outcome", "says"),
    [
        ("root", GIVEN, "done", ""),
        ("nobody", GIVEN, "refused", "There is no such admin"),
        ("root", "short", "refused", "at least 12 characters"),
    ],
)
async def test_a_reset_leaves_a_row(world: Any, username: str, given: str, outcome: str, says: str) -> None:
    """The audit log has the command and its outcome, without an account; a refusal is one line."""
    await world.rotate()
    done = await world.command("reset-password", username, "--stdin", given=given)
    assert done.exit_code == (0 if outcome == "done" else 1)
    assert says in done.stderr and done.stderr.count("\n") == (1 if says else 0)
    async with world.database.reading() as connection:
        statement = "SELECT admin_id, username, target, outcome, status, finished_at FROM admin_audit_log"
        rows = (await connection.exec_driver_sql(f"{statement} WHERE action = 'admin.reset_password'")).all()
    assert [tuple(row[:5]) for row in rows] == [(None, "(command line)", {"username": username}, outcome, None)]
    assert rows[0].finished_at is not None
