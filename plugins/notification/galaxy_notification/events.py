"""Reactions to facts of other plugins."""

from galaxy_contracts.accounts import AccountDeleted
from galaxy_kernel.api import Connection, Subscriptions
from galaxy_notification import queries


def subscriptions() -> Subscriptions:
    """Return the listeners."""

    async def on_account_deleted(connection: Connection, fact: AccountDeleted) -> None:
        await queries.skip_account(connection, fact.account_id)

    return {AccountDeleted: on_account_deleted}
