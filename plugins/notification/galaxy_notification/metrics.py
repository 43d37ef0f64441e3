"""The plugin's metrics."""

from galaxy_kernel.api import declare_queue

QUEUE = declare_queue("notification", "routes", "kind", "channel")
