"""Cancellation: whether it is meant for the current task, or came out of something that the task awaited.

Code of others that awaits a cancelled task raises CancelledError, which is not an Exception: what catches errors misses
it, and a task group drops a task that ends with it in silence.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from galaxy_chassis.errors import GalaxyError


class StrayCancellationError(GalaxyError):
    """Code of others raised CancelledError or SystemExit, though nobody cancelled the task that runs it."""


def being_cancelled() -> bool:
    """Return whether the current task itself is being cancelled, not only something it awaits."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


@contextmanager
def own_cancellation_only() -> Iterator[None]:
    """Raise StrayCancellationError for a CancelledError that is not the current task's own, and for a SystemExit."""
    try:
        yield
    except asyncio.CancelledError as error:
        if being_cancelled():
            raise
        raise StrayCancellationError("something that it awaited had been cancelled") from error
    except SystemExit as error:
        raise StrayCancellationError("it asked the whole process to exit") from error
