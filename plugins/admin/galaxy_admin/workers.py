"""The plugin's background work."""

from collections.abc import Sequence
from datetime import timedelta

from galaxy_admin.lockout import Lockout
from galaxy_kernel.api import Worker

PRUNE_INTERVAL = timedelta(minutes=10)


def workers(lockout: Lockout) -> Sequence[Worker]:
    """Return the workers: one replica prunes."""
    return (Worker("admin.prune", lockout.prune, interval=PRUNE_INTERVAL, singleton=True),)
