"""The plugin's background work, on every replica: each writes its own counts and follows its own file."""

from collections.abc import Sequence
from datetime import timedelta

from galaxy_geo.service import CountryService
from galaxy_kernel.api import Worker

COUNT_INTERVAL = timedelta(seconds=5)
"""How long counts, and the addresses in them, stay in memory: what a killed process loses."""
RELOAD_INTERVAL = timedelta(seconds=5)
"""Between two checks of the file."""


def workers(service: CountryService) -> Sequence[Worker]:
    """Return the workers."""
    return (
        Worker("geo.count", service.work, interval=COUNT_INTERVAL),
        Worker("geo.reload", service.reload, interval=RELOAD_INTERVAL),
    )
