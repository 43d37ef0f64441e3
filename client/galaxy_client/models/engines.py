"""The engines whose games can be created."""

from typing import Any
from uuid import UUID

import msgspec

from galaxy_client.models.base import Model


class Players(Model, frozen=True, kw_only=True):
    """How many seats a game may have."""

    min: int
    max: int


class EngineVersion(Model, frozen=True, kw_only=True):
    """A version that takes new games. What its engine says is None, or empty, until it was started once."""

    id: UUID
    engine: str
    version: str
    title: str | None = None
    """Of the game; as the engine says it, like all that follows."""
    summary: str | None = None
    players: Players | None = None
    options_schema: dict[str, Any] | None = None
    """JSON Schema of a game's options."""
    order_schema: dict[str, Any] | None = None
    """JSON Schema of one order; None where the engine says none."""
    capabilities: list[str] = msgspec.field(default_factory=list)
    """`validate`, `options` and `suggest` (machine players) concern players."""

    @property
    def name(self) -> str:
        """As games name it: `engine@version`."""
        return f"{self.engine}@{self.version}"
