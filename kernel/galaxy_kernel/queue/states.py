"""The words that one queue's table has for the states of its rows."""

import re
from dataclasses import dataclass

_WORD = re.compile(r"[a-z][a-z0-9_]*")


@dataclass(frozen=True, slots=True)
class QueueStates:
    """What the states of a queue's rows are called, in the column `state`, in its history and in metrics.

    A row is `pending` until its first attempt has ended, or again once it is requeued, and `retrying` while it waits
    for another; the other states are ends. The words stand literally in SQL, so they are lower-case letters, digits
    and underscores, and each is another one.
    """

    pending: str = "pending"
    retrying: str = "retrying"
    done: str = "done"
    """What it was queued for has happened."""
    dead_lettered: str = "dead_lettered"
    """Given up: failed for good, out of attempts or expired."""
    skipped: str | None = None
    """Ended on purpose without being tried; None in a queue that skips nothing."""

    def __post_init__(self) -> None:
        for word in self.all:
            if not _WORD.fullmatch(word):
                raise ValueError(f"queue state {word!r}: expected lower-case letters, digits and underscores")
        if len(set(self.all)) < len(self.all):
            raise ValueError(f"queue states {', '.join(self.all)}: expected a word of its own for each state")

    @property
    def all(self) -> tuple[str, ...]:
        """Every state there is."""
        skipped = () if self.skipped is None else (self.skipped,)
        return (self.pending, self.retrying, self.done, self.dead_lettered, *skipped)

    @property
    def open(self) -> str:
        """The condition, in SQL, that a row has not ended.

        Statements and partial indexes hold it literally: a planner matches such an index only by constants.
        """
        return f"state IN ('{self.pending}', '{self.retrying}')"
