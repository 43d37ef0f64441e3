"""The worker that empties the queue into the relay, and pauses while the relay serves nobody."""

import random as random_module
from datetime import timedelta

from opentelemetry.metrics import Meter
from structlog.typing import FilteringBoundLogger

from galaxy_kernel.api import (
    Claim,
    Clock,
    Database,
    Health,
    LeasedQueue,
    Outcome,
    Pump,
    QueueMetrics,
    Result,
    request_context,
)
from galaxy_mail.domain import envelope_of
from galaxy_mail.errors import Refusal, RelayDown
from galaxy_mail.sealing import Sealer
from galaxy_mail.settings import MailSettings
from galaxy_mail.tables import mail_attempts, mail_deliveries
from galaxy_mail.transport import Transport

DELIVER = "mail.deliver"
"""The worker's name, by which it is woken."""

LEASE = timedelta(seconds=75)
"""Longer than any one mail may take (60 s); a killed worker's mails are taken up again within 90 s (SPEC M-2)."""
_FIRST_DELAY, _MAX_DELAY = timedelta(seconds=10), timedelta(hours=1)
"""Bounds of the back-off: 8 attempts are spread over half an hour to an hour."""
_FIRST_PAUSE, _MAX_PAUSE = 1.0, 30.0
"""Seconds of a pause, doubled each time; short at most, for a sign-in code lives five minutes."""
_HOUSEKEEPING = 2.0
"""Seconds between two looks for expired mails."""
PRUNE_INTERVAL = timedelta(hours=1)
"""Between two looks for mails past their retention."""


def delivery_queue(
    settings: MailSettings, *, clock: Clock, random: random_module.Random, lease: timedelta = LEASE
) -> LeasedQueue:
    """Return the queue over `mail_deliveries`."""
    return LeasedQueue(
        mail_deliveries,
        mail_attempts,
        lease=lease,
        max_attempts=settings.max_attempts,
        first_delay=_FIRST_DELAY,
        max_delay=_MAX_DELAY,
        wipe=("sealed",),
        random=random,
        monotonic=clock.monotonic,
    )


class Deliverer:
    """One replica's worker."""

    def __init__(
        self,
        database: Database,
        queue: LeasedQueue,
        transport: Transport,
        sealer: Sealer,
        settings: MailSettings,
        *,
        clock: Clock,
        random: random_module.Random,
        log: FilteringBoundLogger,
        meter: Meter,
    ) -> None:
        self._database, self._queue, self._transport, self._sealer = database, queue, transport, sealer
        self._clock, self._random, self._log = clock, random, log
        c = mail_deliveries.c
        self._pump = Pump(
            queue,
            database,
            self._send,
            columns=(c.kind, c.request_id, c.recipient, c.mime, c.sealed),
            senders=settings.smtp.connections,
            reserve=settings.smtp.timeout,
            monotonic=clock.monotonic,
        )
        self._housekeeping_at = self._resume_at = clock.monotonic()
        self._pause = 0.0
        self._down = ""
        self._attempts = QueueMetrics("mail", queue, "kind", log=log, meter=meter)

    async def run(self) -> bool | timedelta:
        """Make one pass: expire what is too late, and send what is due unless the relay is down.

        Return whether there may be more to do, or how long the relay is still left in peace.
        """
        if self._clock.monotonic() >= self._housekeeping_at:
            await self._housekeep()
        if self._clock.monotonic() < self._resume_at:
            return self._pause_left()
        try:
            if self._down:
                await self._transport.check()
            more = await self._pump.run()
        except RelayDown as down:
            self._pause_for(down)
            return self._pause_left()
        finally:
            self._attempts.hand_over()
        if self._down:
            self._log.info("mail_relay_recovered")
        self._down, self._pause = "", 0.0
        return more

    async def health(self) -> Health:
        """Return whether the relay serves us, as far as the last pass knows."""
        return Health("degraded", f"{self._down}; mails are kept and sent once it answers") if self._down else Health()

    async def _housekeep(self) -> None:
        async with self._database.transaction() as connection:
            await self._queue.expire(connection)
            await self._attempts.gauge(connection)
        await self._transport.trim()
        self._housekeeping_at = self._clock.monotonic() + _HOUSEKEEPING

    def _pause_for(self, down: RelayDown) -> None:
        """Pause twice as long as last time, less up to half of it, so that replicas do not return all at once."""
        self._pause = min(_MAX_PAUSE, self._pause * 2 or _FIRST_PAUSE)
        self._resume_at = self._clock.monotonic() + self._pause * self._random.uniform(0.5, 1.0)
        if str(down) != self._down:
            self._log.error("mail_relay_down", reason=str(down))
        self._down = str(down)

    def _pause_left(self) -> timedelta:
        return timedelta(seconds=self._resume_at - self._clock.monotonic())

    async def _send(self, claim: Claim) -> Result:
        """Send one mail under the request id of who queued it, and tell what became of it (SPEC K-8)."""
        kind, request_id, *_ = claim.values
        with request_context("mail", request_id):
            result = await self._attempt(claim)
            self._attempts.note(result, kind, delivery_id=claim.id, smtp_code=result.code)
        return result

    async def _attempt(self, claim: Claim) -> Result:
        """Only RelayDown passes through: whatever else goes wrong is this mail's own failure."""
        try:
            return await self._hand_over(claim)
        except RelayDown:
            raise
        except Refusal as refusal:
            outcome = Outcome.DEAD_LETTERED if refusal.permanent else Outcome.RETRYING
            return Result(claim, outcome, refusal.detail, refusal.code)
        except Exception as error:
            self._log.exception("mail_send_failed", delivery_id=str(claim.id))
            return Result(claim, Outcome.RETRYING, f"internal error: {type(error).__name__}")

    async def _hand_over(self, claim: Claim) -> Result:
        _, _, recipient, mime, sealed = claim.values
        if recipient is None or (mime is None and sealed is None):
            return Result(claim, Outcome.DEAD_LETTERED, "its recipient or its content is gone")
        try:
            content = mime if sealed is None else self._sealer.open(claim.id, sealed)
        except ValueError as error:
            return Result(claim, Outcome.DEAD_LETTERED, str(error))
        reply = await self._transport.send(envelope_of(recipient), content)
        return Result(claim, Outcome.SENT, reply.text, reply.code)
