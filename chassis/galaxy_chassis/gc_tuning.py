"""What the service asks of Python's garbage collector, which looks for cycles through all that lives."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def paused() -> Iterator[None]:
    """Keep it from looking through growing tables again and again: half the time of loading a cache."""
    was_at_work = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_at_work:
            gc.enable()


def freeze() -> None:
    """Spare it what lives now, modules, plugins and caches: it mostly lives as long as the process.

    For a process that has come up. Requests pay for each look through all of it: a twentieth of their time.
    """
    gc.collect()
    gc.freeze()
