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


async def test_create(world: Any) -> None:
    """An admin from the shell opens the running backend too, after their first password has been changed."""
    done = await world.command("create", "Ada", "--stdin", given=f"{GIVEN}\n")
    assert (done.exit_code, done.stdout) == (0, "")
    await world.until_known("ada")
    assert (await world.ask("GET", ADMINS, user="ada", password=GIVEN))[0] == 403
    assert await world.rotate(user="ada", current=GIVEN, new="known to her alone") == 204
    assert (await world.ask("GET", ADMINS, user="ada", password="known to her alone"))[0] == 200


async def test_create_makes_or_asks_for_a_password(world: Any) -> None:
    """Without an option one is made and printed, and nothing else; `--ask` takes it twice and does not show it."""
    done = await world.command("create", "ada")
    made = done.stdout.removesuffix("\n")
    assert done.exit_code == 0 and len(made) == 24
    done = await world.command("create", "bob", "--ask", given=f"{GIVEN}\n{GIVEN}\n")
    assert done.exit_code == 0
    assert GIVEN not in done.stdout + done.stderr
    for user, password in (("ada", made), ("bob", GIVEN)):
        await world.until_known(user)
        assert (await world.ask("GET", ADMINS, user=user, password=password))[0] == 403


@pytest.mark.parametrize(
    ("username", "given", "says"),
    [
        ("ROOT", GIVEN, "an admin of that name already"),
        ("ada", "short", "at least 12 characters"),
        ("a:da", GIVEN, "username"),
        ("a\u200bda", GIVEN, "username"),
        ("ada", "adas own password", "user name"),
    ],
)
async def test_create_refuses(world: Any, username: str, given: str, says: str) -> None:
    """What the API refuses the command refuses, in one line, and the audit log has it."""
    done = await world.command("create", username, "--stdin", given=given)
    assert done.exit_code == 1
    assert says in done.stderr and done.stderr.count("\n") == 1
    [row] = await world.rows("admin.create")
    assert (row.username, row.target, row.outcome) == ("(command line)", {"username": username}, "refused")


async def test_no_command_takes_a_password_as_an_argument(world: Any) -> None:
    """It would stand in the shell's history and in the list of processes."""
    for command in ("create", "reset-password"):
        assert (await world.command(command, "root", GIVEN)).exit_code == 2
