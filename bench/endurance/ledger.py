"""The fate of the mails according to the database, and what must be true of it."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import asyncpg

from bench.endurance.relay import Arrivals
from bench.endurance.verdict import some

_QUEUED = "SELECT count(*) FROM mail_deliveries WHERE state IN ('pending', 'retrying')"
_PASS = "UPDATE mail_deliveries SET next_attempt_at = now() WHERE state IN ('pending', 'retrying')"
_LEDGER = """
    SELECT recipient, message_id, state, attempts,
        ARRAY(SELECT attempt_no FROM mail_attempts WHERE delivery_id = d.id ORDER BY attempt_no) AS numbers,
        ARRAY(SELECT outcome FROM mail_attempts WHERE delivery_id = d.id ORDER BY attempt_no) AS outcomes
    FROM mail_deliveries AS d
"""


@dataclass(frozen=True, slots=True)
class Entry:
    """One delivery with its history."""

    recipient: str
    message_id: str
    state: str
    attempts: int
    numbers: Sequence[int]
    outcomes: Sequence[str]

    @property
    def complete(self) -> bool:
        """Whether its attempts are numbered from 1 without a gap, and only the last one sent it."""
        one_by_one = list(self.numbers) == list(range(1, self.attempts + 1))
        return one_by_one and list(self.outcomes).count("sent") == 1 and self.outcomes[-1] == "sent"


@dataclass(frozen=True, slots=True)
class Ledger:
    """Every delivery."""

    entries: Sequence[Entry]

    def against(self, acknowledged: Collection[str], arrived: Mapping[str, Arrivals]) -> list[str]:
        """Return the violations, seen from both ends: what callers were promised, and what the relay received."""
        by_recipient = {entry.recipient: entry for entry in self.entries}
        ours = [(by_recipient[address], came) for address, came in arrived.items() if address in by_recipient]
        return [
            *some("row not sent", [entry for entry in self.entries if entry.state != "sent"]),
            *some("history with a gap", [entry for entry in self.entries if not entry.complete]),
            *some("acknowledged without a row", sorted(set(acknowledged) - by_recipient.keys())),
            *some("sent and never queued", sorted(arrived.keys() - by_recipient.keys())),
            *some("more than one delivery for one call", _twice(self.entries)),
            *some("sent, and the relay never had it", sorted(by_recipient.keys() - arrived.keys())),
            *some("other Message-ID", [entry for entry, came in ours if came.message_ids != {entry.message_id}]),
            *some("duplicate with other bytes", [entry for entry, came in ours if len(set(came.contents)) > 1]),
            *some("more mails than attempts", [entry for entry, came in ours if len(came.contents) > entry.attempts]),
        ]


async def read_ledger(dsn: str) -> Ledger:
    """Read everything that was queued."""
    connection = await asyncpg.connect(dsn)
    try:
        return Ledger([Entry(**row) for row in await connection.fetch(_LEDGER)])
    finally:
        await connection.close()


async def queued(dsn: str) -> int:
    """Return how many mails are still to be sent."""
    connection = await asyncpg.connect(dsn)
    try:
        return int(await connection.fetchval(_QUEUED))
    finally:
        await connection.close()


async def let_time_pass(dsn: str) -> None:
    """Make rows due that wait for a lease or a back-off; only while no backend runs, or it loses its claims."""
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(_PASS)
    finally:
        await connection.close()


def _twice(entries: Sequence[Entry]) -> list[str]:
    recipients = [entry.recipient for entry in entries]
    return sorted({recipient for recipient in recipients if recipients.count(recipient) > 1})
