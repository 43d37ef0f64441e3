"""The plugin's metrics."""

from galaxy_kernel.api import Counter

REQUESTS = Counter("geo.requests", "Requests of accounts, by outcome.", ("outcome",))
