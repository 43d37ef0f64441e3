"""What the plugin hears."""

from galaxy_contracts.accounts import AccountDeleted
from galaxy_kernel.api import Connection, Subscriptions
from galaxy_lobby.deletions.service import DeletionService


def subscriptions(deletions: DeletionService) -> Subscriptions:
    """Return what the plugin listens to."""

    async def on_account_deleted(connection: Connection, fact: AccountDeleted) -> None:
        await deletions.forget(connection, fact.account_id, fact.email, fact.deleted_at)

    return {AccountDeleted: on_account_deleted}
