"""What authors of plugins test with: a database, a booted kernel, fakes, a clock that they turn themselves.

The fixtures `boot`, `clock`, `empty_database` and `postgres_cluster` come by the pytest plugin `galaxy`, which is
installed with `galaxy-backend-kernel[testing]`.
"""

from galaxy_chassis.clock import ManualClock
from galaxy_devkit.testing.kernel import GATEWAY_TOKEN, SECRET_KEY, Boot, Booted, offering
from galaxy_devkit.testing.postgres import PostgresCluster

__all__ = ["GATEWAY_TOKEN", "SECRET_KEY", "Boot", "Booted", "ManualClock", "PostgresCluster", "offering"]
