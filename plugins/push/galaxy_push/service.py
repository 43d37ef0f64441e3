"""Publishing events, and forgetting those that nobody may hear any more.

What happens if the process dies between any two lines:

- `publish` is one statement of the caller's transaction: before its COMMIT there is no event, after it there is. The
  wake-up comes after the COMMIT; if it is lost, readers look by themselves within a second.
- Numbering (`queries.number`, called by the reader) is one transaction of the lock, the numbers and the state. Before
  its COMMIT no event has its number and nobody has seen one; the lock goes with the connection, and whichever process
  comes next numbers the same events. After it they have their place for good.
- Between numbering and sending nothing is written: a gateway says by its cursor where it stands, so a process that dies
  with half a stream sent leaves nothing behind, and the next one goes on after that cursor.
- Trimming removes events and moves `trimmed_seq` in one statement: a cursor is never taken for whole when it is not.
- `forget_account` and `sessions_revoked` run in the transaction that marks the fact as handled: events are removed, and
  `session.revoked` is there, together with that or not at all.
"""

from collections.abc import Callable, Sequence
from uuid import UUID

from galaxy_contracts.push import PushEvent
from galaxy_kernel.api import Connection, request_id
from galaxy_push import queries
from galaxy_push.domain import SESSION_REVOKED, draft

Wake = Callable[[Connection], None]
"""Wakes the readers once the connection's transaction has committed."""


class PushService:
    """Implements the contract `Push`, and what facts lead to."""

    def __init__(self, wake: Wake) -> None:
        self._wake = wake

    async def publish(self, connection: Connection, events: Sequence[PushEvent]) -> None:
        """Add events with the caller's transaction; see the contract. All are checked before anything is written."""
        current = request_id()
        drafts = [draft(event, current) for event in events]
        if drafts:
            await queries.add(connection, drafts)
            self._wake(connection)

    async def sessions_revoked(self, connection: Connection, account_id: UUID, session_ids: Sequence[UUID]) -> None:
        """Notify gateways that sessions have ended, each by an event of its own, the last to that session."""
        await queries.forget_sessions(connection, session_ids)
        await self.publish(
            connection,
            [
                PushEvent(
                    kind=SESSION_REVOKED,
                    payload={"session_id": session_id, "account_id": account_id},
                    session_id=session_id,
                )
                for session_id in session_ids
            ],
        )

    async def forget_account(self, connection: Connection, account_id: UUID) -> None:
        """Remove what was to be told to an account: its payloads may be personal, and nobody is left to hear them."""
        await queries.forget_account(connection, account_id)
