"""The plugin: wiring only."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from galaxy_adminchannel.service import AdminChannelService
from galaxy_adminchannel.tables import metadata
from galaxy_contracts.mail import OUTBOX
from galaxy_contracts.notification import ADMIN_CHANNEL
from galaxy_kernel.api import Context, Manifest, Migrations, NoSettings, Offer


class AdminChannelPlugin:
    """Notifications to operators by e-mail."""

    manifest = Manifest(
        name="adminchannel",
        summary="Notifications to operators by e-mail, with a switch.",
        provides=(ADMIN_CHANNEL,),
        requires=(OUTBOX,),
    )

    def __init__(self, context: Context[NoSettings]) -> None:
        self._service = AdminChannelService(context)

    def backend_migrations(self) -> Migrations:
        return Migrations("galaxy_adminchannel.migrations", metadata)

    @asynccontextmanager
    async def backend_lifespan(self) -> AsyncIterator[Sequence[Offer[Any]]]:
        yield (Offer(ADMIN_CHANNEL, self._service),)
