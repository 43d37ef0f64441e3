"""Whether a pass has found something to do."""

import asyncio

from galaxy_kernel.passes import found_work, making_pass


async def test_a_pass_knows_whether_it_found_work() -> None:
    """It has found nothing until it is noted, also from a task that was made in the pass; nothing else counts."""
    with making_pass() as idle:
        found_work([])
        found_work(0)
    with making_pass() as worked:
        await asyncio.create_task(_note())
    assert (idle.found, worked.found) == (False, True)


def test_a_later_empty_look_changes_nothing() -> None:
    """What was found once in a pass has been found."""
    with making_pass() as current:
        found_work([1])
        found_work([])
    assert current.found


def test_outside_a_pass_nothing_happens() -> None:
    """A service is called by requests too; a pass that has ended is not changed."""
    with making_pass() as ended:
        pass
    found_work()
    assert not ended.found


async def _note() -> None:
    found_work()
