"""Running a call once for each key, and replaying its answer.

`begin`, then forward, then `finish`, then answer the client: in this order a client that has got an answer can repeat
the call and gets it again. `abandon` is for a call that never reached the backend.

What a crash leaves, or a client that goes away, or a Redis that does:

- Between `begin` and `finish`: a claim, which expires after `LEASE`. Until then the same key is answered 409; after it
  the call runs again, whether or not the backend had committed it, since Redis and Postgres are two stores.
- In `begin`, when Redis has made the claim and its reply is lost: the client gets 503, and the same key 409 until the
  claim expires. The call has not run.
- In `finish`: the client gets its answer, and the same key runs again once the claim has expired.
- A Redis that restarts empty forgets claims and answers: the same key runs again.

Where a second run matters, the backend is idempotent itself: a game is unique by owner and key, the key is forwarded.
"""

import os
from collections.abc import Iterable
from dataclasses import dataclass

from galaxy_chassis.http.problems import FieldError, Problem
from galaxy_chassis.logs import get_logger
from galaxy_gateway.idempotency.answers import REPLAYED, Answer, decode, encode, kept, why_not_kept
from galaxy_gateway.idempotency.call import Call
from galaxy_gateway.idempotency.keys import HEADER
from galaxy_gateway.idempotency.metrics import IdempotencyMetrics
from galaxy_gateway.idempotency.sealing import Sealer
from galaxy_gateway.store.errors import StoreUnavailableError
from galaxy_gateway.store.names import Names
from galaxy_gateway.store.store import Claim, Store
from galaxy_gateway.unavailable import limits_unavailable

LEASE = 60.0
"""Seconds for which a running call holds its key: longer than any call is forwarded for."""
KEEP = 24 * 3600.0
"""Seconds for which an answer is kept."""

_log = get_logger("galaxy_gateway.idempotency", plugin="gateway")


@dataclass(frozen=True, slots=True)
class Run:
    """The call is to be forwarded, and this is to be handed to `finish` or `abandon`."""

    name: str
    owner: bytes
    fingerprint: bytes
    path: str


@dataclass(frozen=True, slots=True)
class Replay:
    """The call is answered already."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


class Idempotency:
    """The calls with a key of one gateway, in the store that all gateways share."""

    def __init__(self, store: Store, names: Names, sealer: Sealer, metrics: IdempotencyMetrics) -> None:
        self._store, self._names, self._sealer, self._metrics = store, names, sealer, metrics

    async def begin(self, call: Call) -> Run | Replay:
        """Return what to do: forward the call, or answer with what was kept.

        Raise the problem 422 `idempotency_key_reused` when the key came with another body, 409 `request_running`
        while the first call runs, and 503 `limits_unavailable` without the store.
        """
        run = Run(call.name(self._names), os.urandom(16), call.fingerprint, call.path)
        try:
            claim = await self._store.claim(run.name, run.owner, run.fingerprint, LEASE)
        except StoreUnavailableError:
            self._metrics.began("unavailable")
            raise limits_unavailable() from None
        if claim.granted:
            self._metrics.began("run")
            return run
        return self._replay(run, claim)

    async def finish(self, run: Run, status: int, headers: Iterable[tuple[str, str]], body: bytes) -> None:
        """Keep the answer for `KEEP`, or free the key where it is not kept. Never raises: the call is done."""
        pairs = tuple(headers)
        reason = why_not_kept(run.path, status, pairs, body)
        try:
            if reason is None:
                await self._keep(run, kept(status, pairs, body))
            else:
                await self._store.abandon(run.name, run.owner)
                self._metrics.ended(reason)
        except StoreUnavailableError as error:
            self._lost(error)

    async def abandon(self, run: Run) -> None:
        """Free the key of a call that did not reach the backend, so that it may run at once. Never raises."""
        try:
            await self._store.abandon(run.name, run.owner)
            self._metrics.ended("abandoned")
        except StoreUnavailableError as error:
            self._lost(error)

    async def _keep(self, run: Run, answer: Answer) -> None:
        sealed = self._sealer.seal(run.name, encode(answer))
        is_kept = await self._store.finish(run.name, run.owner, run.fingerprint, sealed, KEEP)
        self._metrics.ended("kept" if is_kept else "superseded")

    def _replay(self, run: Run, claim: Claim) -> Replay:
        if claim.fingerprint != run.fingerprint:
            self._metrics.began("reused")
            raise _reused()
        if claim.answer is None:
            self._metrics.began("running")
            raise Problem(
                409, "request_running", "This call is still running; ask again.", headers={"Retry-After": "1"}
            )
        answer = self._open(run.name, claim.answer)
        self._metrics.began("replayed")
        return Replay(answer.status, (*answer.headers, REPLAYED), answer.body)

    def _open(self, name: str, sealed: bytes) -> Answer:
        try:
            return decode(self._sealer.open(name, sealed))
        except ValueError as error:  # somebody has written into the store: the call has run, and must not run again
            _log.error("idempotent_answer_damaged", detail=str(error))
            self._metrics.began("unavailable")
            raise limits_unavailable() from None

    def _lost(self, error: StoreUnavailableError) -> None:
        _log.warning("idempotent_answer_lost", detail=str(error))
        self._metrics.ended("unavailable")


def _reused() -> Problem:
    message = "was used before for this operation with another body: use a new key"
    return Problem(422, "idempotency_key_reused", f"{HEADER}: {message}", faults=[FieldError(HEADER, message)])
