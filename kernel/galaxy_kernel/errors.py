"""The exceptions about plugins, beside those of every process in `galaxy_chassis.errors`.

GalaxyError
├── BootError
│ ├── PluginError 78 the set of plugins is refused: which plugin, and the remedy
│   └── PhaseError        1   a plugin failed in a phase of the boot: which one, in which hook
└── CapabilityError       a plugin asked for a service that its manifest does not list or nobody provides
"""

from galaxy_chassis.errors import BootError, GalaxyError, place


class PluginError(BootError):
    """The set of plugins is refused. The message is one sentence with the plugin and the remedy."""

    status = 78


class PhaseError(BootError):
    """A plugin failed in a phase of the boot."""

    def __init__(self, plugin: str, phase: str, error: BaseException, package: str = "") -> None:
        """Name the file and line too: the innermost in `package`, the plugin's own, or else where it was raised."""
        self.plugin, self.phase, self.error = plugin, phase, error
        where = place(error, package)
        told = f"plugin {plugin!r} failed in {phase}: {type(error).__name__}: {error}"
        super().__init__(f"{told} ({where})" if where else told)


class CapabilityError(GalaxyError):
    """A plugin asked for a service that its manifest does not list, or that nobody provides."""
