"""Clocks are tested on engines that are there as soon as they are opened."""

from functools import partial
from typing import Any

import pytest


@pytest.fixture
def make_world(make_world: Any) -> Any:
    """Return what boots the plugin with engines that need no host."""
    return partial(make_world, held=True)
