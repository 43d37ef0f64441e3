"""Places for streams: how many one account, one address and all clients together may have open."""

from collections import Counter

from galaxy_chassis.http.problems import Problem, throttled
from galaxy_gateway.streams.metrics import Metrics
from galaxy_gateway.streams.settings import StreamSettings

_RETRY_AFTER = 5.0
"""Seconds: a stream that its client has left is noticed after about two heartbeats."""


class Places:
    """Counts the open streams."""

    def __init__(self, settings: StreamSettings, metrics: Metrics) -> None:
        self._settings, self._metrics = settings, metrics
        self._accounts: Counter[str] = Counter()
        self._networks: Counter[str] = Counter()
        self.taken = 0

    def enter(self, account_id: str, network: str) -> None:
        """Count one more. Raise Problem 503 `streams_full` or 429 `too_many_requests`, and then count nothing."""
        settings = self._settings
        if self.taken >= settings.total:
            self._metrics.refused["total"] += 1
            raise Problem(
                503,
                "streams_full",
                "This gateway has as many event streams as it may have: try again, another one may have room.",
                headers={"Retry-After": "5"},
            )
        self._check("account", self._accounts[account_id], settings.per_account)
        self._check("address", self._networks[network], settings.per_address)
        self.taken += 1
        self._accounts[account_id] += 1
        self._networks[network] += 1

    def leave(self, account_id: str, network: str) -> None:
        """Count one less."""
        self.taken -= 1
        for counter, key in ((self._accounts, account_id), (self._networks, network)):
            counter[key] -= 1
            if not counter[key]:
                del counter[key]

    def _check(self, whose: str, open_streams: int, most: int) -> None:
        if most and open_streams >= most:
            self._metrics.refused[whose] += 1
            raise throttled(f"This {whose} has {most} event streams open already: close one.", _RETRY_AFTER)
