"""The plugin's metrics, as they are exported while games are played."""

from typing import Any

import pytest
from sqlalchemy import Interval, bindparam, text
from turn_play import LONG, made, pass_time

from galaxy_devkit.testing import Measured
from galaxy_runtime.clocks.queries import backlog
from galaxy_runtime.engines.domain import STATUSES
from galaxy_runtime.metrics import COUNTED, LATE, TurnMetrics


async def test_turns_are_counted_and_measured(world: Any) -> None:
    """A turn that was committed counts once, with how long it took; none is in progress afterwards."""
    measured = Measured(world.booted)
    game = await world.playing()
    pass_time(world, LONG)
    await made(world, game, 1)
    await world.until(lambda: measured.values("runtime.turns_running") == {(): 0})
    assert measured.values("runtime.turn_attempts") == {("committed",): 1}
    assert measured.values("runtime.turn_duration") == {(): 1}


async def test_failures_of_turns_are_counted_by_type(world: Any) -> None:
    """An attempt whose claim was lost, and one that failed; neither has a duration."""
    measured = Measured(world.booted)
    metrics: TurnMetrics = world.plugin._metrics
    metrics.ran(1.0, committed=False)
    metrics.failed("engine_timeout")
    metrics.running(2)
    assert measured.values("runtime.turn_attempts") == {("superseded",): 1, ("engine_timeout",): 1}
    assert measured.values("runtime.turn_duration") == {}
    assert measured.values("runtime.turns_running") == {(): 2}


async def test_the_backlog_and_engines_are_read_by_the_worker(world: Any) -> None:
    """Turns that are due and late, and engines by every status there is."""
    measured = Measured(world.booted)
    await world.until(lambda: measured.values("runtime.turns_due") == {(): 0})
    assert measured.values("runtime.turns_late") == {(): 0}
    assert measured.values("runtime.engines") == {(status,): 0 for status in STATUSES}


async def test_the_backlog_knows_how_late_turns_are(world: Any) -> None:
    """Games that are due count, of those the late ones, and the longest wait is measured."""
    for _ in range(3):
        await world.playing()
    shift = world.plugin.time.shift
    with pytest.raises(RolledBack):
        async with world.database.transaction() as connection:  # which the worker of turns does not see
            assert await backlog(connection, LATE, COUNTED, shift) == (0, 0, 0)
            aged = text(
                "UPDATE runtime_records SET next_turn_at = statement_timestamp() + :shift - age FROM ("
                "SELECT game_id, make_interval(mins => 5 * (row_number() OVER ())::int - 5, secs => 1) AS age"
                " FROM runtime_records ORDER BY game_id LIMIT 2) AS aged WHERE aged.game_id = runtime_records.game_id"
            )
            await connection.execute(aged.bindparams(bindparam("shift", shift, Interval)))
            due, late, overdue = await backlog(connection, LATE, COUNTED, shift)
            assert (due, late) == (2, 1)
            assert 300 <= overdue < 360
            raise RolledBack


class RolledBack(Exception):
    """Ends a transaction that nobody else is to see."""


async def test_engines_and_operations_are_counted(world: Any) -> None:
    """Each operation with its outcome and how long it took, each start, and each end that nobody asked for."""
    measured = Measured(world.booted)
    launch = world.a_launch()
    assert (await world.finished(await world.launch(launch))).outcome == "succeeded"
    await world.until(lambda: measured.values("runtime.operation_duration") == {("start",): 1})
    assert measured.values("runtime.operations") == {("start", "succeeded"): 1}
    assert measured.values("runtime.engine_starts") == {("healthy",): 1}
    await world.host.kill(launch.game_id, oom=True)
    await world.plugin._passes.reconcile()
    await world.until(lambda: measured.values("runtime.engine_crashes") == {("oom_killed",): 1})
