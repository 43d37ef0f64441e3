"""The switch of the admin channel, and the mails to operators.

What happens if the process dies between any two lines: both write paths are one statement on the caller's connection.
Before the COMMIT nothing has happened; after it the switch holds on every replica, since each delivery reads it in the
transaction that queues the mails, and switching waits for deliveries in progress.
"""

from collections.abc import Sequence
from uuid import UUID

from galaxy_adminchannel import queries
from galaxy_contracts.mail import OUTBOX, Message
from galaxy_contracts.notification import AdminChannelState
from galaxy_kernel.api import Connection, Context, NoSettings


class AdminChannelService:
    """The contract's `AdminChannel`."""

    def __init__(self, context: Context[NoSettings]) -> None:
        self._context = context

    async def state(self, connection: Connection) -> AdminChannelState:
        """Return whether it is on."""
        return await queries.state(connection)

    async def switch(self, connection: Connection, *, enabled: bool) -> AdminChannelState:
        """Switch it on or off; see the contract."""
        await queries.switch(connection, self._context.clock.now(), enabled=enabled)
        return await queries.state(connection)

    async def deliver(self, connection: Connection, messages: Sequence[Message]) -> list[UUID | ValueError] | None:
        """Queue the mails, unless it is off; see the contract."""
        if not await queries.held(connection):
            return None
        return await self._context.require(OUTBOX).enqueue_many(connection, messages)
