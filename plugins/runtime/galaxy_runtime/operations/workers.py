"""The operations' background work, on every replica."""

from collections.abc import Sequence
from datetime import timedelta

from galaxy_kernel.api import Worker
from galaxy_runtime.operations.running import OperationRunner
from galaxy_runtime.records.service import OPERATION_WORKER

_INTERVAL = timedelta(seconds=5)
"""Between two looks for operations whose process has died."""


def workers(runner: OperationRunner) -> Sequence[Worker]:
    """Return the worker."""
    return (Worker(OPERATION_WORKER, runner.work, interval=_INTERVAL),)
