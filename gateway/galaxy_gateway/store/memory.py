"""The store of one gateway alone, in its memory, for `memory://` and for reads while Redis is away.

A gateway that stops loses it: limits start full, and calls that ran before are not replayed.
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

from galaxy_chassis.clock import Clock
from galaxy_gateway.store.gcra import affordable, debt_at
from galaxy_gateway.store.store import Claim, Demand, Spending

MOST_ALLOWANCES = 100_000
"""Allowances that are not full; past it the one that was spent of least recently counts as full."""
MOST_ANSWERS = 10_000
MOST_OCTETS = 64 * 1024 * 1024
"""Octets of all answers; past either the oldest is forgotten. Claims are as many as there are requests in progress."""
_PURGED = 2
"""Entries removed at most for each one added: more than come in, and a constant amount of work."""


@dataclass(slots=True)
class _Record:
    expires_at: int
    fingerprint: bytes
    owner: bytes = b""
    answer: bytes | None = None


class MemoryStore:
    """Bounded: entries expire, and the oldest are forgotten when there are too many."""

    def __init__(
        self,
        clock: Clock,
        most_allowances: int = MOST_ALLOWANCES,
        most_answers: int = MOST_ANSWERS,
        most_octets: int = MOST_OCTETS,
    ) -> None:
        self._clock = clock
        self._most_allowances, self._most_answers, self._most_octets = most_allowances, most_answers, most_octets
        self._full_at: OrderedDict[str, int] = OrderedDict()
        self._claims: OrderedDict[str, _Record] = OrderedDict()
        self._answers: OrderedDict[str, _Record] = OrderedDict()
        self._octets = 0

    def __len__(self) -> int:
        """Return the number of entries."""
        return len(self._full_at) + len(self._claims) + len(self._answers)

    async def spend(self, demands: Sequence[Demand]) -> Spending:
        """See Store."""
        now = self._now()
        full_at = self._full_at
        debts = [debt_at(full_at.get(demand.key), now, demand) for demand in demands]
        for debt, demand in zip(debts, demands, strict=True):
            if not affordable(debt, demand):
                return Spending(False, tuple(debts))
        for place, demand in enumerate(demands):
            debts[place] += demand.interval
            full_at[demand.key] = now + debts[place]
            full_at.move_to_end(demand.key)
            self._purge_allowances(now)
        return Spending(True, tuple(debts))

    async def claim(self, key: str, owner: bytes, fingerprint: bytes, lease: float) -> Claim:
        """See Store."""
        found = self._find(key)
        if found is not None:
            return Claim(False, found.fingerprint, found.answer)
        self._claims[key] = _Record(self._after(lease), fingerprint, owner)
        self._claims.move_to_end(key)
        self._purge_claims()
        return Claim(True)

    async def finish(self, key: str, owner: bytes, fingerprint: bytes, answer: bytes, keep: float) -> bool:
        """See Store."""
        found = self._find(key)
        if found is not None and found.owner != owner:
            return False
        self._claims.pop(key, None)
        self._forget_answer(key)
        self._answers[key] = _Record(self._after(keep), fingerprint, answer=answer)
        self._octets += len(answer)
        self._purge_answers()
        return key in self._answers

    async def abandon(self, key: str, owner: bytes) -> bool:
        """See Store."""
        found = self._find(key)
        if found is None or found.owner != owner:
            return False
        del self._claims[key]
        return True

    async def ping(self) -> None:
        """Do nothing: memory is always there."""

    async def aclose(self) -> None:
        """Do nothing."""

    def _now(self) -> int:
        return round(self._clock.monotonic() * 1_000_000)

    def _after(self, seconds: float) -> int:
        return self._now() + round(seconds * 1_000_000)

    def _find(self, key: str) -> _Record | None:
        found = self._claims.get(key) or self._answers.get(key)
        return found if found is not None and found.expires_at > self._now() else None

    def _purge_allowances(self, now: int) -> None:
        for _ in range(_PURGED):
            key, full_at = next(iter(self._full_at.items()))
            if full_at > now and len(self._full_at) <= self._most_allowances:
                return
            del self._full_at[key]

    def _purge_claims(self) -> None:
        now = self._now()
        for _ in range(_PURGED):
            key, record = next(iter(self._claims.items()))
            if record.expires_at > now:
                return
            del self._claims[key]

    def _purge_answers(self) -> None:
        now = self._now()
        while self._answers:
            key, record = next(iter(self._answers.items()))
            crowded = len(self._answers) > self._most_answers or self._octets > self._most_octets
            if record.expires_at > now and not crowded:
                return
            self._forget_answer(key)

    def _forget_answer(self, key: str) -> None:
        record = self._answers.pop(key, None)
        if record is not None:
            self._octets -= len(record.answer or b"")
