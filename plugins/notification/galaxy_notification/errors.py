"""Errors of kinds and intents.

ValueError
├── KindError       a kind cannot be registered: the boot of its plugin is refused
└── IntentError     an intent is malformed: every fault is named, nothing was written
"""

from collections.abc import Sequence

from galaxy_kernel.api import FieldError


class KindError(ValueError):
    """A kind is faulty or registered twice. The message names it and what to change."""


class IntentError(ValueError):
    """An intent cannot be stored."""

    def __init__(self, kind: str, faults: Sequence[FieldError]) -> None:
        told = "; ".join(f"{fault.field}: {fault.message}" for fault in faults)
        super().__init__(f"intent of kind {kind!r}: {told}")
        self.faults = tuple(faults)
