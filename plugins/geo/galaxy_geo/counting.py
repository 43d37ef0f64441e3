"""Counters in memory: requests are noted on their path and resolved to counts off it. Bounded, no I/O."""

import asyncio
from collections.abc import Callable
from datetime import datetime
from itertools import islice
from uuid import UUID

from galaxy_geo.domain import UNKNOWN, Counted, Key

MOST = 50_000
"""Most pairs of account and address noted, and of account and country still to be written: about 15 MB of either."""
_BREATH = 200
"""Look-ups between two yields to the event loop: about two milliseconds."""


class Notes:
    """Requests noted since the last flush. Addresses exist only here, from one flush to the next."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._noted: dict[tuple[UUID, str], int] = {}
        self.dropped = 0
        """Requests dropped because it was full, since the last flush."""

    def add(self, account_id: UUID, client_address: str) -> None:
        """Note one request. On the path of every authenticated one: no clock, no look-up, no lock."""
        noted, key = self._noted, (account_id, client_address)
        count = noted.get(key)
        if count is not None:
            noted[key] = count + 1
        elif len(noted) < self._most:
            noted[key] = 1
        else:
            self.dropped += 1

    def take(self) -> tuple[dict[tuple[UUID, str], int], int]:
        """Return the notes and the number of dropped requests, and reset both."""
        taken = self._noted, self.dropped
        self._noted, self.dropped = {}, 0
        return taken


class Tally:
    """Counts by account and country, not written yet."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._counted: dict[Key, Counted] = {}
        self._left: dict[tuple[UUID, str], int] = {}
        """Notes taken but not resolved yet, left by a cancelled call."""

    def __len__(self) -> int:
        return len(self._counted)

    @property
    def requests(self) -> int:
        """Requests that are not written yet."""
        return sum(each.requests for each in self._counted.values()) + sum(self._left.values())

    async def resolve(
        self, noted: dict[tuple[UUID, str], int], at: datetime, country_of: Callable[[str], str | None]
    ) -> int:
        """Resolve notes to counts, seen at `at`; return the number of requests without room. Calls must not overlap."""
        for key, requests in self._left.items():
            noted[key] = noted.get(key, 0) + requests
        self._left = noted
        dropped, resolved = 0, 0
        while self._left:
            (account_id, client_address), requests = self._left.popitem()
            key = (account_id, country_of(client_address) or UNKNOWN)
            dropped += 0 if self._add(key, requests, at) else requests
            resolved += 1
            if resolved % _BREATH == 0:
                await asyncio.sleep(0)
        return dropped

    def some(self, most: int) -> dict[Key, Counted]:
        """Return some of the counts, to be written; `written` removes them."""
        return dict(islice(self._counted.items(), most))

    def written(self, counted: dict[Key, Counted]) -> None:
        """Remove the counts that `some` returned. Nothing may have been resolved in between."""
        for key in counted:
            del self._counted[key]

    def _add(self, key: Key, requests: int, at: datetime) -> bool:
        found = self._counted.get(key)
        if found is not None:
            found.requests += requests
            found.last_seen_at = max(found.last_seen_at, at)
        elif len(self._counted) < self._most:
            self._counted[key] = Counted(requests, at)
        else:
            return False
        return True
