"""Settings of the garbage collector."""

import gc
import weakref

from galaxy_chassis import gc_tuning


class Node:
    """Something that can be in a cycle."""

    def __init__(self) -> None:
        self.itself = self


def test_paused_and_back() -> None:
    """It is off within the block only, and stays off where it was off."""
    with gc_tuning.paused():
        assert not gc.isenabled()
        with gc_tuning.paused():
            pass
        assert not gc.isenabled()
    assert gc.isenabled()


def test_settled() -> None:
    """Living objects are excluded, dead ones are collected first, and cycles that are made later are found."""
    thresholds, dead, kept = gc.get_threshold(), weakref.ref(Node()), Node()
    try:
        gc_tuning.freeze()
        assert dead() is None
        assert all(found is not kept for found in gc.get_objects())
        later = weakref.ref(Node())
        gc.collect()
        assert later() is None
        last = weakref.ref(Node())
        more = [[] for _ in range(2 * gc_tuning.YOUNG)]
        assert last() is None
        assert len(more) > gc.get_threshold()[0] == gc_tuning.YOUNG
    finally:
        gc.unfreeze()
        gc.set_threshold(*thresholds)
