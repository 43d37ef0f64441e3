"""What operators set."""

from datetime import timedelta
from typing import Annotated

from annotated_types import Ge, Le
from pydantic import Field

from galaxy_kernel.api import Duration, Settings


class LobbySettings(Settings):
    """Games and invitations."""

    min_interval: Annotated[Duration, Ge(timedelta(seconds=1)), Le(timedelta(days=1))] = timedelta(seconds=10)
    """How close two turns of a schedule may be."""
    abandon_after: int = Field(default=10, ge=1, le=1_000)
    """Scheduled turns in a row for which nobody sends orders, after which a game is paused as abandoned."""
    invitation_ttl: Annotated[Duration, Ge(timedelta(minutes=1)), Le(timedelta(days=365))] = timedelta(days=14)
    """How long an invitation can be accepted."""
    invitations_per_day: int = Field(default=100, ge=0, le=100_000)
    """Most invitations that one player may make in any 24 hours."""
    keep_deleted_names: bool = False
    """Whether the games of a deleted account go on showing the name it had there."""
