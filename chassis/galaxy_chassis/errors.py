"""The exceptions of every process.

GalaxyError
├── BootError             the service cannot come up; `status` is the process's exit status
│   └── ConfigurationError   78  settings are missing, malformed or unknown: every fault, by variable
└── Problem               an answer to an HTTP request that is an error (RFC 9457), in `http.problems`

The kernel adds those about plugins, in `galaxy_kernel.errors`.
"""

import traceback
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


def place(error: BaseException, package: str = "") -> str:
    """Return file and line of an exception: the innermost in `package`, else where it was raised; "" for none."""
    if isinstance(error, SyntaxError) and error.filename:  # raised by the compiler: no frame is in the file itself
        return f"{error.filename}:{error.lineno}"
    frames = [
        (str(frame.f_globals.get("__name__", "")), f"{frame.f_code.co_filename}:{line}")
        for frame, line in traceback.walk_tb(error.__traceback__)
    ]
    within = [where for module, where in frames if package and f"{module}.".startswith(f"{package}.")]
    return (within or [where for _, where in frames] or [""])[-1]
