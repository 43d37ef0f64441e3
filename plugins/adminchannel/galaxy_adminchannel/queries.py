"""Every statement of the plugin, as functions of a connection."""

from datetime import datetime

from sqlalchemy import select, update

from galaxy_adminchannel.tables import admin_channel
from galaxy_contracts.notification import AdminChannelState
from galaxy_kernel.api import Connection

_c = admin_channel.c
_STATE = select(_c.enabled, _c.changed_at)
_HELD = select(_c.enabled).with_for_update(read=True)


async def state(connection: Connection) -> AdminChannelState:
    """Return whether the channel is on."""
    return AdminChannelState(*(await connection.execute(_STATE)).one())


async def held(connection: Connection) -> bool:
    """Return whether the channel is on, and lock that, shared, until this transaction ends."""
    return bool((await connection.execute(_HELD)).scalar_one())


async def switch(connection: Connection, now: datetime, *, enabled: bool) -> None:
    """Switch the channel, once every transaction that delivers by it has ended; no change where it is already so."""
    statement = update(admin_channel).where(_c.enabled != enabled)
    await connection.execute(statement.values(enabled=enabled, changed_at=now))
