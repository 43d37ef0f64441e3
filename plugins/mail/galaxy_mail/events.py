"""Reactions to deleted accounts. A repeated fact changes nothing."""

from galaxy_contracts.accounts import AccountDeleted
from galaxy_kernel.api import Connection, Subscriptions
from galaxy_mail.service import Deliveries


def subscriptions(deliveries: Deliveries) -> Subscriptions:
    """Return the listeners."""

    async def on_account_deleted(connection: Connection, fact: AccountDeleted) -> None:
        await deliveries.forget(connection, fact.account_id, fact.email, fact.deleted_at)

    return {AccountDeleted: on_account_deleted}
