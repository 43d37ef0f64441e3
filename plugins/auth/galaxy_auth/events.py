"""What auth does when accounts are blocked or deleted. Telling it twice changes nothing more."""

from galaxy_auth.service import SignInService
from galaxy_auth.sessions import SessionService
from galaxy_auth.settings import AuthSettings
from galaxy_contracts.accounts import ACCOUNTS, AccountBlocked, AccountDeleted
from galaxy_kernel.api import Connection, Context, Subscriptions


def subscriptions(context: Context[AuthSettings], sessions: SessionService, sign_in: SignInService) -> Subscriptions:
    """Give the listeners. Until they are told, `authenticate` refuses the account's tokens by its state."""

    async def on_account_blocked(connection: Connection, fact: AccountBlocked) -> None:
        await sessions.revoke_all(connection, fact.account_id)

    async def on_account_deleted(connection: Connection, fact: AccountDeleted) -> None:
        await sessions.revoke_all(connection, fact.account_id)
        account = context.require(ACCOUNTS).get(fact.account_id)
        deleted_at = account.deleted_at if account is not None else None
        # not later: the same person may have asked for a code since, to begin anew
        await sign_in.forget(connection, fact.email, deleted_at or context.clock.now())

    return {AccountBlocked: on_account_blocked, AccountDeleted: on_account_deleted}
