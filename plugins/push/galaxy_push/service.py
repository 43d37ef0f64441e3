"""Publishes events, and removes those that must no longer be delivered.

What happens if the process dies between any two lines:

- `publish` is one statement of the caller's transaction: before its COMMIT there is no event, after it there is. The
  wake-up follows the COMMIT; if it is lost, readers check by themselves within a second.
- Numbering (`queries.number`, called by the reader) is one transaction of the lock, the numbers and the state. Before
  its COMMIT no event has its number and none was seen; the lock ends with the connection, and the next process numbers
  the same events. After it their numbers are final.
- A new generation is written in the transaction that finds it necessary, mostly that of the next numbering: no event
  gets a number of the old generation once its numbers were found set back. A process that dies before the COMMIT leaves
  the sign where it was, except for what it alone has seen; gateways that have seen the same number show it again.
- Between numbering and sending nothing is written: a gateway sends its cursor, so a process that dies in the middle of
  a stream leaves nothing behind, and the next one continues after that cursor.
- Trimming removes events and moves `trimmed_seq` in one statement: a cursor that misses events is never accepted as
  complete.
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
    """Implements the contract `Push`, and the reactions to facts."""

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
        """Notify gateways that sessions have ended, each by an event of its own, the last one for that session."""
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
        """Remove the events for an account: their payloads may be personal, and there is no recipient any more."""
        await queries.forget_account(connection, account_id)
