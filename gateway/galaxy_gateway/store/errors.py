"""Failures of the store."""

from galaxy_chassis.errors import GalaxyError


class StoreUnavailableError(GalaxyError):
    """The store does not answer, or refuses to. Whether it did what was asked is not known."""
