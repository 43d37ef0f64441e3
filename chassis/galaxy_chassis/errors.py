"""The exceptions of every process.

GalaxyError
├── BootError             the service cannot come up; `status` is the process's exit status
│   └── ConfigurationError   78  settings are missing, malformed or unknown: every fault, by variable
└── Problem               an answer to an HTTP request that is an error (RFC 9457), in `http.problems`

The kernel adds those about plugins, in `galaxy_kernel.errors`.
"""

from collections.abc import Sequence
from dataclasses import dataclass


class GalaxyError(Exception):
    """Base of all exceptions that are raised on purpose."""


class BootError(GalaxyError):
    """The service cannot come up."""

    status = 1


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong with the configuration."""

    variable: str
    message: str
    """What was expected, never the value found."""

    def __str__(self) -> str:
        return f"{self.variable}: {self.message}"


class ConfigurationError(BootError):
    """Settings are missing, malformed or unknown."""

    status = 78

    def __init__(self, faults: Sequence[Fault]) -> None:
        self.faults = tuple(faults)
        super().__init__("\n".join(str(fault) for fault in self.faults))
