"""The plugin's settings."""

from datetime import timedelta
from typing import Annotated

from annotated_types import Ge, Le
from pydantic import Field

from galaxy_kernel.api import Duration, Settings


class PushSettings(Settings):
    """How long events are kept, and how slow a subscriber may be."""

    retention: Annotated[Duration, Ge(timedelta(minutes=1)), Le(timedelta(days=30))] = timedelta(hours=24)
    """How long an event is kept; a gateway that was away for longer has its clients fetch their state again."""
    write_timeout: Annotated[Duration, Ge(timedelta(milliseconds=100)), Le(timedelta(minutes=10))] = timedelta(
        seconds=10
    )
    """How long a subscriber may leave a frame unread before it is cut off."""
    max_lag: int = Field(default=10_000, ge=100, le=10_000_000)
    """Most events that a subscriber that has once caught up may fall behind before it is cut off."""
