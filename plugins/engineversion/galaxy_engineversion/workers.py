"""The plugin's background work, on every replica that can start engines."""

from collections.abc import Sequence
from datetime import timedelta

from galaxy_engineversion.checks import CHECK_WORKER, Checks
from galaxy_kernel.api import Worker

INTERVAL = timedelta(seconds=10)
"""Between two renewals of a lease, which lasts several times as long."""


def workers(checks: Checks) -> Sequence[Worker]:
    """Return the workers."""
    return (Worker(CHECK_WORKER, checks.work, interval=INTERVAL),)
