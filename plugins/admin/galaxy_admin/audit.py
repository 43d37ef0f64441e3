"""The audit log: what operators did, each action recorded before it runs.

If the process dies between `begin` and `finish`, the row stays with the outcome `unknown`: the action may have happened
or not.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, cast
from uuid import UUID

from sqlalchemy import Row

from galaxy_admin import queries
from galaxy_admin.domain import Outcome
from galaxy_admin.settings import AdminSettings
from galaxy_contracts.access import AdminIdentity
from galaxy_kernel.api import Context, Paging, Problem, new_id, request_id

COMMAND_LINE = "(command line)"
UNKNOWN_NAME = "(unknown name)"
"""Replace a user name in the log, in rows without `admin_id`: what is typed as a name may be a password."""


class AdminAuditLog:
    """Implements `galaxy_contracts.access.AuditLog`, for the kernel, the command line and the routes."""

    def __init__(self, context: Context[AdminSettings]) -> None:
        self._context = context

    async def begin(self, actor: AdminIdentity, action: str, target: Mapping[str, str], *, request_id: str) -> UUID:
        """Record an attempt, committed before this returns."""
        return await self._begin(actor.admin_id, actor.username, action, target, request_id)

    async def finish(self, entry: UUID, outcome: str, status: int | None, target: Mapping[str, str]) -> None:
        """Record how it ended."""
        async with self._context.database.transaction() as connection:
            at = self._context.clock.now()
            await queries.finish_audit(connection, entry, cast("Outcome", outcome), status, at, target)

    async def read(self, actor: AdminIdentity, action: str, target: Mapping[str, str], *, request_id: str) -> None:
        """Record that personal data is read: one row for an operator, an action and a minute, which counts."""
        async with self._context.database.transaction() as connection:
            await queries.fold_audit(
                connection,
                at=self._context.clock.now(),
                admin_id=actor.admin_id,
                username=actor.username,
                action=action,
                outcome="done",
                status=None,
                request_id=request_id,
                target=target,
            )

    @asynccontextmanager
    async def recording(self, action: str, target: Mapping[str, str]) -> AsyncIterator[None]:
        """Record a command, before and after it: a Problem makes it `refused`, any other exception `failed`."""
        entry = await self._begin(None, COMMAND_LINE, action, target, request_id())
        outcome: Outcome = "failed"
        try:
            yield
            outcome = "done"
        except Problem:
            outcome = "refused"
            raise
        finally:
            await self.finish(entry, outcome, None, {})

    async def list_entries(
        self, paging: Paging, *, username: str | None, action: str | None, outcome: Outcome | None
    ) -> tuple[Sequence[Row[Any]], int]:
        """Return one page of the log, the newest first, and how many entries there are."""
        async with self._context.database.reading() as connection:
            return await queries.list_audit(connection, paging, username=username, action=action, outcome=outcome)

    async def _begin(
        self, admin_id: UUID | None, username: str, action: str, target: Mapping[str, str], request: str
    ) -> UUID:
        entry = new_id()
        async with self._context.database.transaction() as connection:
            await queries.begin_audit(
                connection,
                entry,
                at=self._context.clock.now(),
                admin_id=admin_id,
                username=username,
                action=action,
                target=target,
                request_id=request,
            )
        return entry
