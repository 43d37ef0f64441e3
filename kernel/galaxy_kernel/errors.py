"""The exceptions of the kernel.

GalaxyError
├── BootError             the service cannot come up; `status` is the process's exit status
│   ├── ConfigurationError   78  settings are missing, malformed or unknown: every fault, by variable
│   ├── PluginError          78  the set of plugins is refused: which plugin, and the remedy
│   └── PhaseError           1   a plugin failed in a phase of the boot: which one, in which hook
├── CapabilityError       a plugin asked for a service that its manifest does not list or nobody provides
└── Problem               an answer to an HTTP request that is an error (RFC 9457), in `problems`
"""

from collections.abc import Sequence
from dataclasses import dataclass


class GalaxyError(Exception):
    """Base of everything the kernel raises on purpose."""


class BootError(GalaxyError):
    """The service cannot come up."""

    status = 1


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong with the configuration."""

    variable: str
    message: str
    """What was expected, never what was given."""

    def __str__(self) -> str:
        return f"{self.variable}: {self.message}"


class ConfigurationError(BootError):
    """Settings are missing, malformed or unknown."""

    status = 78

    def __init__(self, faults: Sequence[Fault]) -> None:
        self.faults = tuple(faults)
        super().__init__("\n".join(str(fault) for fault in self.faults))


class PluginError(BootError):
    """The set of plugins is refused: one sentence that names the plugin and the remedy."""

    status = 78


class PhaseError(BootError):
    """A plugin failed in a phase of the boot."""

    def __init__(self, plugin: str, phase: str, error: BaseException) -> None:
        self.plugin, self.phase, self.error = plugin, phase, error
        super().__init__(f"plugin {plugin!r} failed in {phase}: {type(error).__name__}: {error}")


class CapabilityError(GalaxyError):
    """A plugin asked for a service that its manifest does not list, or that nobody provides."""
