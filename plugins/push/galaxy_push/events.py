"""Reactions to ended sessions and deleted accounts. A repeated fact changes nothing for clients."""

from galaxy_contracts.accounts import AccountDeleted
from galaxy_contracts.sessions import SessionsRevoked
from galaxy_kernel.api import Connection, Subscriptions
from galaxy_push.service import PushService


def subscriptions(service: PushService) -> Subscriptions:
    """Return the listeners."""

    async def on_sessions_revoked(connection: Connection, fact: SessionsRevoked) -> None:
        await service.sessions_revoked(connection, fact.account_id, fact.session_ids)

    async def on_account_deleted(connection: Connection, fact: AccountDeleted) -> None:
        await service.forget_account(connection, fact.account_id)

    return {SessionsRevoked: on_sessions_revoked, AccountDeleted: on_account_deleted}
