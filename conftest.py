"""What holds for the tests of every distribution."""

import os
import signal
from itertools import chain, groupby, islice

import pytest
from hypothesis import HealthCheck, settings

_PATIENT = [HealthCheck.too_slow]
settings.register_profile("galaxy", deadline=None, max_examples=50, suppress_health_check=_PATIENT)
settings.register_profile("thorough", deadline=None, max_examples=1000, suppress_health_check=_PATIENT)
settings.load_profile("galaxy")
"""No example has a time limit: the machine may be busy with something else.

`--hypothesis-profile=thorough` tries more.
"""

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell lets what it runs in the background ignore Ctrl-C, and that is inherited: tests send it to their children.
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _together(item: pytest.Item) -> object:
    """Return what tests that one worker runs share: their file, or the `backend dev` behind the tests of the page."""
    return "browser" if item.get_closest_marker("browser") else item.path


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that have slow tests: begun last, one would go on while the other workers are done.

    Each worker of xdist begins with an equal part of the list (`--dist worksteal`), so each part gets some of them. The
    tests of the page are one part, although they are two files: a second worker would start and check everything again.
    """
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    if workers > 1:
        files = [list(file) for _, file in groupby(items, key=_together)]
        slow = [file for file in files if any(item.get_closest_marker("slow") for item in file)]
        others = chain.from_iterable(file for file in files if file not in slow)
        size = len(items) // workers
        ordered: list[pytest.Item] = []
        for worker in range(workers):
            first = list(chain.from_iterable(slow[worker::workers]))
            ordered += [*first, *islice(others, max(0, size - len(first)))]
        items[:] = [*ordered, *others]
