"""Checks of `doctor`: whatever one of them does, it ends in findings."""

import asyncio
from collections.abc import Sequence

import pytest

from galaxy_chassis import doctor
from galaxy_chassis.doctor import Finding, examined
from galaxy_chassis.errors import BootError, ConfigurationError, Fault


async def test_what_a_check_finds_is_returned() -> None:
    """A check that ends well has the say."""

    async def check() -> Sequence[Finding]:
        return (Finding("lamp", "warning", "flickers"),)

    assert await examined("lamp", check) == [Finding("lamp", "warning", "flickers")]


@pytest.mark.parametrize(
    ("error", "state", "says"),
    [
        (BootError("is out of oil: refill it"), "failed", "is out of oil: refill it"),
        (ConfigurationError([Fault("X", "required")]), "skipped", "see configuration"),
        (asyncio.CancelledError(), "failed", "something that it awaited had been cancelled"),
        (SystemExit(3), "failed", "it asked the whole process to exit"),
        (KeyError("wick"), "failed", "report it: KeyError: 'wick'"),
    ],
)
async def test_no_error_gets_out(error: BaseException, state: str, says: str) -> None:
    """Each is a finding of the check's name; one that nobody expects has its place."""

    async def check() -> Sequence[Finding]:
        raise error

    (found,) = await examined("lamp", check)
    assert (found.check, found.state) == ("lamp", state)
    assert says in found.detail
    assert ("test_doctor.py:" in found.detail) == isinstance(error, KeyError)


async def test_a_check_that_hangs_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """It gets a limited time."""
    monkeypatch.setattr(doctor, "PATIENCE", 0.0)
    (found,) = await examined("lamp", asyncio.Event().wait)  # type: ignore[arg-type] # it never returns
    assert (found.state, found.detail.partition(":")[0]) == ("failed", "no answer within 0 s")


async def test_its_own_cancellation_goes_on() -> None:
    """Ctrl-C ends the command, not the check."""
    task = asyncio.create_task(examined("lamp", asyncio.Event().wait))  # type: ignore[arg-type] # as above
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
