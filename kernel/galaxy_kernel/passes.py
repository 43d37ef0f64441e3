"""Whether the current pass of a worker has found something to do.

Workers look several times a second, mostly in vain: a pass that found nothing leaves no span, and is counted as idle.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar


class Pass:
    """One pass of a worker."""

    __slots__ = ("found",)

    def __init__(self) -> None:
        self.found = False
        """Whether it has found something to do."""


_current: ContextVar[Pass | None] = ContextVar("galaxy_pass", default=None)


@contextmanager
def making_pass() -> Iterator[Pass]:
    """Make a pass within the block, and in the tasks that are made there."""
    current = Pass()
    token = _current.set(current)
    try:
        yield current
    finally:
        _current.reset(token)


def found_work(found: object = True) -> None:
    """Note that the current pass has found something to do, where `found` is true; nothing happens outside a pass.

    The queue and the delivery of facts note it by themselves.
    """
    current = _current.get()
    if found and current is not None:
        current.found = True
