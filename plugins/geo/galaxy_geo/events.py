"""Reactions to deleted accounts. A repeated fact changes nothing."""

from galaxy_contracts.accounts import AccountDeleted
from galaxy_geo.service import CountryService
from galaxy_kernel.api import Connection, Subscriptions


def subscriptions(service: CountryService) -> Subscriptions:
    """Return the listeners."""

    async def on_account_deleted(connection: Connection, fact: AccountDeleted) -> None:
        await service.forget(connection, fact.account_id)

    return {AccountDeleted: on_account_deleted}
