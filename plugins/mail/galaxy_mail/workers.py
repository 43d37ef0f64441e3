"""The worker that sends the queue's mails through the relay, and pauses while the relay is down.

What a crash leaves behind is described in the kernel's `queue` and `pump`. Besides that, mails whose refusals turn out
to be the relay's fault are put back by one transaction: before its COMMIT they are as recorded, dead letters that
operators can resend, or waiting with an attempt less.
"""

import random as random_module
from collections.abc import Sequence
from datetime import timedelta
from functools import partial

from opentelemetry.metrics import Meter
from structlog.typing import FilteringBoundLogger

from galaxy_kernel.api import (
    Backoff,
    Claim,
    Clock,
    Context,
    Database,
    Health,
    LeasedQueue,
    Measurements,
    Outcome,
    Pump,
    QueueMetrics,
    Result,
    Worker,
    found_work,
    request_context,
)
from galaxy_mail import metrics
from galaxy_mail.domain import envelope_of
from galaxy_mail.errors import Refusal, RelayDown
from galaxy_mail.queue import DELIVER
from galaxy_mail.sealing import Sealer
from galaxy_mail.service import Deliveries
from galaxy_mail.settings import MailSettings
from galaxy_mail.tables import mail_deliveries
from galaxy_mail.transport import Transport, relay_down
from galaxy_mail.verdicts import Verdict, Verdicts

_PAUSE = Backoff(1.0, 30.0)
"""Back-off while the relay is down; its bound is short, since a sign-in code is valid for five minutes."""
_HOUSEKEEPING = 2.0
"""Seconds between two checks for expired mails."""
_PRUNE_INTERVAL = timedelta(hours=1)
"""Time between two checks for mails past their retention, and for those that a previous release queued."""


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
        self._relay, self._verdicts = settings.smtp, Verdicts()
        self._refused_by_relay: RelayDown | None = None
        """Why the current pass sends nothing more, found out by a mail that was tried all the same."""
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
        self._pauses = 0
        """Pauses in a row."""
        self._down = ""
        self._attempts = QueueMetrics("mail", queue, metrics.QUEUE, log=log, meter=meter)
        metrics.RELAY_UP.observe(meter, lambda: 0 if self._down else 1)

    async def run(self) -> bool | timedelta:
        """Make one pass: expire mails, and send due ones unless the relay is down.

        Return whether there may be more to do, or how long the pause for the relay still lasts.
        """
        await self._put_back()
        if self._clock.monotonic() >= self._housekeeping_at:
            await self._housekeep()
        if self._clock.monotonic() < self._resume_at:
            return self._pause_left()
        try:
            more = await self._deliver()
        except RelayDown as down:
            self._pause_for(down)
            await self._put_back()
            return self._pause_left()
        finally:
            self._attempts.hand_over()
        if self._down and not self._verdicts.blaming:
            self._log.info("mail_relay_recovered")
            self._down, self._pauses = "", 0
        return more

    async def _deliver(self) -> bool:
        self._refused_by_relay = None
        if self._down:
            await self._transport.check()
        more = await self._pump.run()
        if self._refused_by_relay is not None:
            raise self._refused_by_relay
        return more

    async def _put_back(self) -> None:
        """Queue the mails again whose refusals were the relay's after all."""
        if keys := self._verdicts.to_put_back():
            found_work()
            async with self._database.transaction() as connection:
                await self._queue.reopen(connection, keys)
            self._verdicts.put_back(keys)

    async def health(self) -> Health:
        """Return whether the relay accepts us, as of the last mail that it answered to."""
        return Health("degraded", f"{self._down}; mails are kept and sent once it answers") if self._down else Health()

    async def _housekeep(self) -> None:
        async with self._database.transaction() as connection:
            expired = await self._queue.expire(connection)
        if expired:  # codes that nobody got: the relay is down, slow, or a clock was wrong
            self._log.warning("mails_expired_unsent", mails=expired)
        await self._transport.trim()
        self._housekeeping_at = self._clock.monotonic() + _HOUSEKEEPING

    def _pause_for(self, down: RelayDown) -> None:
        """Stop sending for a while, longer each time in a row."""
        self._pauses += 1
        self._resume_at = self._clock.monotonic() + _PAUSE.delay(self._pauses, self._random)
        if str(down) != self._down:
            self._log.error("mail_relay_failed", reason=str(down))
        self._down = str(down)

    def _pause_left(self) -> timedelta:
        return timedelta(seconds=self._resume_at - self._clock.monotonic())

    async def _send(self, claim: Claim) -> Result:
        """Send one mail under the request id that queued it, and return the result (SPEC K-8)."""
        kind, request_id, *_ = claim.values
        with request_context("mail", request_id):
            result = await self._attempt(claim)
            self._attempts.note(result, kind, delivery_id=claim.id, smtp_code=result.code)
        return result

    async def _attempt(self, claim: Claim) -> Result:
        """Only RelayDown is passed on: any other error is this mail's own failure."""
        if self._refused_by_relay is not None:
            raise self._refused_by_relay
        try:
            result = await self._hand_over(claim)
        except RelayDown:
            raise
        except Refusal as refusal:
            return self._refused(claim, refusal)
        except Exception as error:
            self._log.exception("mail_send_failed", delivery_id=str(claim.id))
            return Result(claim, Outcome.RETRYING, f"internal error: {type(error).__name__}")
        if result.outcome is Outcome.DONE:
            self._verdicts.served()
        return result

    def _refused(self, claim: Claim, refusal: Refusal) -> Result:
        """Return the result of a mail that the relay refused. Raise RelayDown where it refuses us and has no mail."""
        verdict = self._verdicts.judge(claim, claim.row.recipient, refusal)
        if verdict in (Verdict.RELAY, Verdict.RELAY_AFTER_ALL):
            said = f"it refuses us: {refusal.detail}" if refusal.code else f"it fails: {refusal.detail}"
            hint = "; check BACKEND_SMTP_FROM, BACKEND_SMTP_HELO_NAME and the login" if refusal.code else ""
            down = relay_down(self._relay, said + hint)
            if verdict is Verdict.RELAY:
                raise down
            self._refused_by_relay = down
        final = refusal.permanent and verdict is not Verdict.MAIL_FOR_NOW
        outcome = Outcome.DEAD_LETTERED if final else Outcome.RETRYING
        return Result(claim, outcome, refusal.detail, refusal.code)

    async def _hand_over(self, claim: Claim) -> Result:
        _, _, recipient, mime, sealed = claim.values
        if recipient is None or (mime is None and sealed is None):
            return Result(claim, Outcome.DEAD_LETTERED, "its recipient or its content is gone")
        try:
            content = mime if sealed is None else self._sealer.open(claim.id, sealed)
        except ValueError as error:
            return Result(claim, Outcome.DEAD_LETTERED, str(error))
        reply = await self._transport.send(envelope_of(recipient), content)
        return Result(claim, Outcome.DONE, reply.text, reply.code)


def workers(context: Context[MailSettings], deliverer: Deliverer, deliveries: Deliveries) -> Sequence[Worker]:
    """Return the workers: every replica sends, one of them prunes, and folds what a previous release queued."""
    measurements = Measurements(
        "mail.measure",
        partial(metrics.QUEUE.measure, deliveries.queue),
        metrics.QUEUE.gauges,
        database=context.database,
        meter=context.meter,
        log=context.log,
    )
    return (
        measurements.worker(),
        Worker(DELIVER, deliverer.run, context.settings.worker_interval),
        Worker("mail.prune", deliveries.prune, _PRUNE_INTERVAL, singleton=True),
        Worker("mail.fold", deliveries.fold, _PRUNE_INTERVAL, singleton=True),
    )
