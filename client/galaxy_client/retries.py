"""Repeating calls: which failures pass, when a call may be repeated, and how long to wait in between.

Every unsafe call has an `Idempotency-Key` that stays the same in all its attempts, so a gateway that keeps answers
carries it out once and repeats the answer. That is not relied on: a backend without a gateway knows the header for the
creation of games alone, and a gateway that dies between the backend's commit and its own note forgets the call. So each
call says what a repetition would do:

- `Safety.REPEATABLE`: nothing more than the first time. All reads; what sets a state (orders, joining, leaving,
  starting, pausing, deleting); creating a game. Repeated after every failure that passes. Where the first attempt was
  carried out but its answer lost, the repetition may be refused (409 `not_a_member` for leaving twice): such an error
  has `uncertain`.
- `Safety.ONCE`: more, and that would be felt: another machine on a seat, another turn, another mail, a second session.
  Repeated only after failures that say that nothing was done: no connection could be made, 429, and 503 of a server
  that starts, stops or cannot count requests. After all others the error has `uncertain`, and the caller decides.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import Enum
from random import Random

from galaxy_client.errors import (
    CallTimeoutError,
    ClosedError,
    ConflictError,
    GalaxyError,
    ProblemError,
    ThrottledError,
    TransportError,
    UnavailableError,
    UnreachableError,
)
from galaxy_client.transport import Answer, Request, Transport

Sleep = Callable[[float], Awaitable[None]]

NOT_DONE = ("starting", "stopping", "limits_unavailable")
"""Codes of 503 before anything was done."""
RUNNING = "request_running"
"""409 of a gateway: an attempt with this key is not finished. After a lost answer, that attempt is our own."""


class Safety(Enum):
    """What repeating a call would do."""

    REPEATABLE = "repeatable"
    ONCE = "once"


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and how long a call is tried."""

    retries: int = 3
    """Attempts after the first one."""
    attempt_seconds: float = 35.0
    """For one attempt: longer than a gateway waits for its backend, so that its 504 comes first."""
    call_seconds: float = 120.0
    """For a call with all its attempts and waits."""
    longest_wait: float = 30.0
    """Seconds: a longer `Retry-After` is not waited for, the error says how long it is."""
    first_delay: float = 0.25
    """Seconds before the first repetition at most, where the server does not say; doubles each time."""
    longest_delay: float = 5.0

    def delay(self, failures: int, random: Random) -> float:
        """Draw the seconds to wait after so many failures in a row: from the upper half below the bound."""
        return min(self.longest_delay, self.first_delay * 2.0 ** min(failures - 1, 60)) * random.uniform(0.5, 1.0)


class Caller:
    """Makes calls, each with its attempts."""

    def __init__(self, transport: Transport, policy: RetryPolicy, *, sleep: Sleep, random: Random) -> None:
        self.transport, self.sleep, self.random = transport, sleep, random
        self._policy = policy

    async def call(self, request: Request, safety: Safety = Safety.REPEATABLE) -> Answer:
        """Return the answer to a request, repeated as its safety allows. Raise GalaxyError."""
        attempts = _Attempts(safety, self._policy, self.random)
        try:
            async with asyncio.timeout(self._policy.call_seconds):
                while True:
                    try:
                        return await self.transport.exchange(request, self._policy.attempt_seconds)
                    except GalaxyError as error:
                        wait = attempts.failed(request, error)
                        if wait is None:
                            raise
                    await self.sleep(wait)
        except TimeoutError:
            raise attempts.out_of_time(request) from None


class _Attempts:
    """What has become known of one call by the failures of its attempts."""

    def __init__(self, safety: Safety, policy: RetryPolicy, random: Random) -> None:
        self._safety, self._policy, self._random = safety, policy, random
        self._failures = 0
        self._uncertain = False
        self._last: GalaxyError | None = None

    def failed(self, request: Request, error: GalaxyError) -> float | None:
        """Return the seconds to wait before the next attempt, None if there is none; mark the error as uncertain."""
        running = self._uncertain and isinstance(error, ConflictError) and error.code == RUNNING
        self._failures, self._last = self._failures + 1, error
        self._uncertain = error.uncertain = self._uncertain or (request.method != "GET" and _may_be_done(error))
        again = running or (_passes(error) and (self._safety is Safety.REPEATABLE or not self._uncertain))
        if not again or self._failures > self._policy.retries:
            return None
        return self._wait(error)

    def _wait(self, error: GalaxyError) -> float | None:
        delay = self._policy.delay(self._failures, self._random)
        after = error.retry_after if isinstance(error, ProblemError) else None
        if after is None:
            return delay
        return after + delay if after <= self._policy.longest_wait else None

    def out_of_time(self, request: Request) -> CallTimeoutError:
        """Return the error of a call whose time has passed."""
        last = "" if self._last is None else f"; the last attempt failed: {self._last}"
        error = CallTimeoutError(f"{request.name}: not done within {self._policy.call_seconds:g} s{last}")
        error.uncertain = request.method != "GET"
        return error


def _passes(error: GalaxyError) -> bool:
    return isinstance(error, TransportError | ThrottledError | UnavailableError) and not isinstance(error, ClosedError)


def _may_be_done(error: GalaxyError) -> bool:
    """Return whether the request may have been carried out in spite of an error."""
    if isinstance(error, ProblemError):
        return error.status >= 500 and not (error.status == 503 and error.code in NOT_DONE)
    return not isinstance(error, UnreachableError | ClosedError)
