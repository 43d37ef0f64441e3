"""Reactions to blocked and deleted accounts. A repeated fact changes nothing."""

from galaxy_auth.service import SignInService
from galaxy_auth.sessions import SessionService
from galaxy_contracts.accounts import AccountBlocked, AccountDeleted
from galaxy_kernel.api import Connection, Subscriptions


def subscriptions(sessions: SessionService, sign_in: SignInService) -> Subscriptions:
    """Return the listeners. Until they are called, `authenticate` refuses the account's tokens by its state."""

    async def on_account_blocked(connection: Connection, fact: AccountBlocked) -> None:
        await sessions.revoke_all(connection, fact.account_id)

    async def on_account_deleted(connection: Connection, fact: AccountDeleted) -> None:
        await sessions.revoke_all(connection, fact.account_id)
        await sign_in.forget(connection, fact.account_id, fact.email, fact.deleted_at)

    return {AccountBlocked: on_account_blocked, AccountDeleted: on_account_deleted}
