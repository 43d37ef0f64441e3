"""For tests of plugins: a database, a booted kernel, fakes, and a clock that tests move.

The fixtures `boot`, `serve`, `clock`, `empty_database` and `postgres_cluster` are those of the pytest plugin `galaxy`,
which this distribution installs.
"""

from galaxy_chassis.clock import ManualClock
from galaxy_devkit.testing.http import Api, FakeAuditLog, Received, Serve
from galaxy_devkit.testing.kernel import GATEWAY_TOKEN, SECRET_KEY, Boot, Booted, offering
from galaxy_devkit.testing.metrics import Measured
from galaxy_devkit.testing.postgres import PostgresCluster

__all__ = [
    "GATEWAY_TOKEN",
    "SECRET_KEY",
    "Api",
    "Boot",
    "Booted",
    "FakeAuditLog",
    "ManualClock",
    "Measured",
    "PostgresCluster",
    "Received",
    "Serve",
    "offering",
]
