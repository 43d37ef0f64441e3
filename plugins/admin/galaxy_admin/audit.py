"""The audit log: what operators did, each action recorded before it runs.

If the process dies between `begin` and `finish`, the row stays with the outcome `unknown`: the action may have
happened or not, and the log says so rather than nothing.
"""

from collections.abc import Mapping
from typing import cast
from uuid import UUID

from galaxy_admin import queries
from galaxy_admin.domain import Outcome
from galaxy_admin.settings import AdminSettings
from galaxy_contracts.access import AdminIdentity
from galaxy_kernel.api import Context, new_id


class AdminAuditLog:
    """Implements `galaxy_contracts.access.AuditLog`."""

    def __init__(self, context: Context[AdminSettings]) -> None:
        self._context = context

    async def begin(self, actor: AdminIdentity, action: str, target: Mapping[str, str], *, request_id: str) -> UUID:
        """Record an attempt, committed before this returns."""
        entry = new_id()
        async with self._context.database.transaction() as connection:
            await queries.begin_audit(
                connection,
                entry,
                at=self._context.clock.now(),
                admin_id=actor.admin_id,
                username=actor.username,
                action=action,
                target=target,
                request_id=request_id,
            )
        return entry

    async def finish(self, entry: UUID, outcome: str, status: int, target: Mapping[str, str]) -> None:
        """Record how it ended."""
        async with self._context.database.transaction() as connection:
            at = self._context.clock.now()
            await queries.finish_audit(connection, entry, cast("Outcome", outcome), status, at, target)
