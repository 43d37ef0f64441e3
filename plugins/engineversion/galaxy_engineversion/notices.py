"""The notice to operators that a version was retired while games still need it."""

from uuid import UUID

from pydantic import Field

from galaxy_contracts.engines import EngineVersion
from galaxy_contracts.notification import NOTIFICATIONS, Audience, Channel, Intent, NotificationKind
from galaxy_engineversion.settings import EngineVersionSettings
from galaxy_kernel.api import Connection, Context, Model, new_id

_VERSION = UUID("01890a5d-ac96-774b-bcce-b302099a8057")


class RetiredInUse(Model):
    """A version that takes no new games any more, and the games that go on with it."""

    version_id: UUID = Field(examples=[_VERSION])
    engine: str = Field(examples=["space-conquest"])
    version: str = Field(examples=["1.4.2"])
    image: str = Field(examples=["registry.example.org/space-conquest:1.4.2"])
    games: int = Field(examples=[3])
    """How many games need the version."""


RETIRED_IN_USE = NotificationKind(
    name="engineversion.retired_in_use",
    summary="An engine version was retired that games still need.",
    audience=Audience.OPERATORS,
    channels=(Channel.EMAIL,),
    payload=RetiredInUse,
    package="galaxy_engineversion",
)


class Notices:
    """Notifies operators, where the plugin notification is installed."""

    def __init__(self, context: Context[EngineVersionSettings]) -> None:
        self._context = context

    def register(self) -> None:
        """Register the kind, in the plugin's lifespan."""
        notifications = self._context.find(NOTIFICATIONS)
        if notifications is not None:
            notifications.register(RETIRED_IN_USE)

    async def retired_in_use(self, connection: Connection, version: EngineVersion, games: int) -> None:
        """Notify operators with the transaction that retires the version; each time that it is retired."""
        notifications = self._context.find(NOTIFICATIONS)
        if notifications is None:
            return
        payload = RetiredInUse(
            version_id=version.id, engine=version.engine, version=version.version, image=version.image, games=games
        )
        intent = Intent(kind=RETIRED_IN_USE.name, idempotency_key=f"{version.id}:{new_id()}", payload=payload)
        await notifications.submit(connection, intent)
