"""Settings of Python's garbage collector, which searches all objects for cycles."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager

YOUNG = 25_000
"""Objects that are made, and not dropped, before the youngest are searched; Python's own number is 700.

Work on sets has thousands of young objects at hand, none of them garbage: searching them each time took a tenth of a
turn. A search of so many takes about two milliseconds. What is garbage in a cycle waits for it,
such as an error with its traceback and the values that this refers to.
"""


@contextmanager
def paused() -> Iterator[None]:
    """Suspend collection within the block. While a cache loads, it would take half of the time."""
    was_at_work = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_at_work:
            gc.enable()


def freeze() -> None:
    """Exclude all current objects, such as modules, plugins and caches, from future collections.

    Call it once the process is ready. These objects mostly live as long as the process, and searching them again and
    again would cost a twentieth of the time of requests. From then on the youngest are searched once there are `YOUNG`.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG, *gc.get_threshold()[1:])
