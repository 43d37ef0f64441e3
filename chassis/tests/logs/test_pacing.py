"""One line a minute of many alike events."""

from galaxy_chassis.logs.pacing import Pace


def test_the_first_is_due_and_then_one_in_each_period() -> None:
    """The number of those held back comes with the next one that is due."""
    times = iter((0.0, 1.0, 59.9, 60.0, 119.9, 300.0))
    pace = Pace(lambda: next(times), every=60.0)
    assert [pace.due() for _ in range(6)] == [0, None, None, 2, None, 1]
