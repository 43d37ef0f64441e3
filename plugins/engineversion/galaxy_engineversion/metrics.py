"""The plugin's metrics."""

from galaxy_kernel.api import Counter

CHECKS = Counter("engineversion.checks", "Checks of engines, by outcome.", ("outcome",))
