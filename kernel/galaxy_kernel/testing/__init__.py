"""What authors of plugins test with: a database, a booted kernel, fakes, a clock that they turn themselves.

The fixtures `boot`, `clock`, `empty_database` and `postgres_cluster` come by the pytest plugin `galaxy`, which is
installed with `galaxy-backend-kernel[testing]`.
"""

from galaxy_kernel.clock import ManualClock
from galaxy_kernel.testing.kernel import GATEWAY_TOKEN, SECRET_KEY, Boot, Booted, offering
from galaxy_kernel.testing.postgres import PostgresCluster

__all__ = ["GATEWAY_TOKEN", "SECRET_KEY", "Boot", "Booted", "ManualClock", "PostgresCluster", "offering"]
