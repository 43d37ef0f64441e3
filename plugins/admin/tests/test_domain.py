"""The rules about accounts."""

from datetime import timedelta

from galaxy_admin.domain import FREE_TRIES, lock_after


def test_lock_grows_to_a_quarter_of_an_hour() -> None:
    """1 s, doubled each time, at most 15 min."""
    assert lock_after(FREE_TRIES) is None
    assert lock_after(FREE_TRIES + 1) == timedelta(seconds=1)
    assert lock_after(FREE_TRIES + 4) == timedelta(seconds=8)
    assert lock_after(10_000) == timedelta(minutes=15)
