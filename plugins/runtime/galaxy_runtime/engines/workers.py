"""The engines' background work."""

from collections.abc import Sequence
from datetime import timedelta

from galaxy_kernel.api import Context, Worker
from galaxy_runtime.engines.passes import EnginePasses
from galaxy_runtime.engines.service import EngineService
from galaxy_runtime.records.service import RECONCILE_WORKER
from galaxy_runtime.settings import RuntimeSettings

_TEND = timedelta(seconds=5)
"""Between two rounds of health checks, and two looks for engines to wake or to let sleep."""
_LONGEST = timedelta(minutes=10)
"""A pass may pull images."""


def workers(context: Context[RuntimeSettings], engines: EngineService, passes: EnginePasses) -> Sequence[Worker]:
    """Return the workers. Those that are singletons are so for economy: two at once do no harm."""
    interval = context.settings.reconcile_interval
    return (
        Worker(RECONCILE_WORKER, passes.reconcile, interval=interval, singleton=True, longest_pass=_LONGEST),
        Worker("runtime.tend", passes.tend, interval=_TEND, singleton=True, longest_pass=_LONGEST),
        Worker("runtime.usage", engines.note_used, interval=_TEND),
    )
