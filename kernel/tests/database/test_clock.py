"""The database's time, followed by this machine's monotonic clock (SPEC K-2)."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from galaxy_chassis.clock import ManualClock
from galaxy_kernel.database import Database
from galaxy_kernel.database.clock import DatabaseClock

START = datetime(2030, 1, 1, tzinfo=UTC)
SHIFTS = st.timedeltas(timedelta(days=-400), timedelta(days=400))
SECONDS = st.floats(0, 100)


class Machine(ManualClock):
    """A machine whose wall clock is set wrong."""

    def __init__(self, off: timedelta = timedelta(0)) -> None:
        super().__init__(START)
        self.off = off

    def now(self) -> datetime:
        return super().now() + self.off


def near(one: datetime, other: datetime, seconds: float = 1e-3) -> bool:
    return abs((one - other).total_seconds()) <= seconds


@given(SHIFTS, st.lists(st.tuples(SECONDS, SECONDS, st.floats(0, 1)), min_size=1, max_size=8))
def test_it_is_never_further_off_than_the_last_answer_took(
    off: timedelta, looks: list[tuple[float, float, float]]
) -> None:
    """Whatever the machine's clock says, the error is below the time that the server's answer took."""
    machine = Machine(off)
    clock, true = DatabaseClock(machine), ManualClock(START)
    for pause, took, share in looks:
        for each in (machine, true):
            each.advance(timedelta(seconds=pause))
        asked = clock.monotonic()
        server = true.now() + timedelta(seconds=took * share)
        for each in (machine, true):
            each.advance(timedelta(seconds=took))
        clock.observe(server.timestamp(), asked)
        assert near(clock.now(), true.now(), took + 1e-3)


def test_the_machines_wall_clock_does_not_matter() -> None:
    """Once the server has told its time, setting the machine's clock changes nothing."""
    machine = Machine()
    clock = DatabaseClock(machine)
    clock.observe(START.timestamp(), clock.monotonic())
    machine.off = timedelta(hours=-1)
    machine.advance(timedelta(seconds=5))
    assert near(clock.now(), START + timedelta(seconds=5))


def test_a_server_whose_clock_leaps_is_followed() -> None:
    """A look at the feed after a fail-over to a server with another time brings that time."""
    machine = Machine()
    clock = DatabaseClock(machine)
    for hours in (1, -1):
        clock.observe((START + timedelta(hours=hours)).timestamp(), clock.monotonic())
        assert near(clock.now(), START + timedelta(hours=hours))


def test_a_slow_answer_changes_little() -> None:
    """An answer that is consistent with what is known changes nothing."""
    machine = Machine()
    clock = DatabaseClock(machine)
    clock.observe(START.timestamp(), clock.monotonic())
    asked = clock.monotonic()
    machine.advance(timedelta(seconds=30))
    clock.observe((START + timedelta(seconds=1)).timestamp(), asked)
    assert near(clock.now(), START + timedelta(seconds=30))


@pytest.mark.parametrize(("off", "state"), [(-3600, "degraded"), (-1.9, "ok"), (1.9, "ok"), (2.1, "degraded")])
async def test_a_machine_that_is_off_is_reported(off: float, state: str) -> None:
    """Beyond two seconds the check is degraded, and says which way."""
    machine = Machine(timedelta(seconds=off))
    clock = DatabaseClock(machine)
    clock.observe(START.timestamp(), clock.monotonic())
    health = await clock.check()
    assert health.state == state
    assert ("ahead of" if off > 0 else "behind") in health.detail or state == "ok"


async def test_it_asks_the_server(database: Database) -> None:
    """The time asked for is the database's, with a machine a year behind."""
    clock = DatabaseClock(Machine())
    await clock.ask(database)
    async with database.reading() as connection:
        now = (await connection.exec_driver_sql("SELECT clock_timestamp()")).scalar_one()
    assert clock.now() <= now
    assert clock.skew > 86400
