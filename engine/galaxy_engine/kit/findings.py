"""What a check can find: raised from inside it, and kept as its result."""

from typing import ClassVar, Literal

import msgspec

Outcome = Literal["passed", "failed", "warned", "noted", "skipped"]


class Finding(Exception):  # noqa: N818
    """A check ended otherwise than by passing."""

    outcome: ClassVar[Outcome]

    def __init__(self, detail: str, *, expected: str = "", came: str = "", cause: str = "") -> None:
        super().__init__(detail)
        self.expected = expected
        self.came = came
        self.cause = cause
        """The id of the check, or the code of the host's failure, that stands in the way of this one."""
        self.calls: tuple[str, ...] = ()
        """What was done, as curl lines; set where the trace is."""


class Failed(Finding):
    """The engine breaks a rule."""

    outcome = "failed"


class Warned(Finding):
    """The engine does something that a conforming one may do, and that is most likely a mistake."""

    outcome = "warned"


class Noted(Finding):
    """Something worth knowing, without fault."""

    outcome = "noted"


class Skipped(Finding):
    """The check could not be made, and why."""

    outcome = "skipped"


class Result(msgspec.Struct, frozen=True):
    """How a check ended."""

    id: str
    title: str
    rule: str
    outcome: Outcome
    detail: str = ""
    expected: str = ""
    came: str = ""
    calls: tuple[str, ...] = ()
    cause: str = ""

    @property
    def bad(self) -> bool:
        """Whether the engine broke a rule here, or where this check depends on it."""
        return self.outcome == "failed" or bool(self.cause)
