"""The kinds for operators, declared here so that their intents are kept whatever else is installed (SPEC N-5)."""

from uuid import UUID

from pydantic import Field

from galaxy_contracts.notification import Audience, Channel, NotificationKind
from galaxy_kernel.api import Model

_GAME = UUID("01890a5d-ac96-774b-bcce-b302099a8057")


class EngineTrouble(Model):
    """A failure of a game's engine container."""

    game_id: UUID = Field(examples=[_GAME])
    image: str = Field(examples=["registry.example.org/space-conquest:1.4.2"])
    """The image reference as the engine version names it."""
    detail: str = Field(examples=["the registry does not answer"])
    """The failure, in one sentence."""


class FaultyStartConfig(Model):
    """A game whose engine refused its options."""

    game_id: UUID = Field(examples=[_GAME])
    image: str = Field(examples=["registry.example.org/space-conquest:1.4.2"])
    faults: list[str] = Field(examples=[["options.map_size: expected at most 64"]])
    """The refused options, one sentence each."""


def _kind(name: str, summary: str, payload: type[Model]) -> NotificationKind:
    return NotificationKind(
        name=f"runtime.{name}",
        summary=summary,
        audience=Audience.OPERATORS,
        channels=(Channel.EMAIL,),
        payload=payload,
        package="galaxy_notification",
    )


OPERATORS_KINDS = (
    _kind("image_pull_failed", "An engine's image cannot be pulled.", EngineTrouble),
    _kind("container_start_failed", "An engine's container does not start.", EngineTrouble),
    _kind("start_config_invalid", "An engine refuses its game's options.", FaultyStartConfig),
)
