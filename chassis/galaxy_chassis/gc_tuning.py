"""Settings of Python's garbage collector, which searches all objects for cycles."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


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
    again would cost a twentieth of the time of requests.
    """
    gc.collect()
    gc.freeze()
