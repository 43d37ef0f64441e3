"""The worker that delivers routes, and the one that deletes old intents."""

import json
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import Protocol
from uuid import UUID

from pydantic import ValidationError

from galaxy_contracts.accounts import ACCOUNTS, Account
from galaxy_contracts.mail import OUTBOX
from galaxy_contracts.notification import ADMIN_CHANNEL, Audience, Channel
from galaxy_contracts.push import PUSH
from galaxy_kernel.api import (
    Batches,
    Claim,
    Connection,
    Context,
    LeasedQueue,
    Measurements,
    Outcome,
    QueueMetrics,
    Result,
    Worker,
    field_errors,
    request_context,
)
from galaxy_notification import metrics, queries
from galaxy_notification.catalogue import Catalogue
from galaxy_notification.channels import EmailChannel, OperatorsChannel, OutgoingRoute, PushChannel
from galaxy_notification.domain import Reason, refusal_of
from galaxy_notification.queue import DELIVER
from galaxy_notification.service import NotificationService
from galaxy_notification.settings import NotificationSettings
from galaxy_notification.tables import notification_routes
from galaxy_notification.unsubscribe.domain import UnsubscribeLinks

_PRUNE_INTERVAL = timedelta(hours=1)


def workers(
    context: Context[NotificationSettings], deliverer: "Deliverer", service: NotificationService
) -> list[Worker]:
    """Return the plugin's workers."""
    measurements = Measurements(
        "notification.measure",
        partial(metrics.QUEUE.measure, deliverer.queue),
        metrics.QUEUE.gauges,
        database=context.database,
        meter=context.meter,
        log=context.log,
    )
    return [
        measurements.worker(),
        Worker(DELIVER, deliverer.run, context.settings.worker_interval),
        Worker("notification.prune", service.prune, _PRUNE_INTERVAL, singleton=True),
    ]


class _Way(Protocol):
    async def deliver(self, connection: Connection, routes: Sequence[OutgoingRoute]) -> list[Result]: ...


class Deliverer:
    """One replica's worker."""

    def __init__(
        self,
        context: Context[NotificationSettings],
        catalogue: Catalogue,
        queue: LeasedQueue,
        links: UnsubscribeLinks,
    ) -> None:
        """Look up the channels: every plugin has offered its own by now."""
        self._catalogue, self.queue = catalogue, queue
        self._accounts = context.require(ACCOUNTS)
        email, push = EmailChannel(context.require(OUTBOX), links, context.log), PushChannel(context.find(PUSH))
        operators = OperatorsChannel(context.find(ADMIN_CHANNEL), context.settings.admin_email)
        self._ways: Mapping[tuple[Audience, Channel], _Way] = {
            (Audience.ACCOUNT, Channel.EMAIL): email,
            (Audience.ACCOUNT, Channel.PUSH): push,
            (Audience.OPERATORS, Channel.EMAIL): operators,
        }
        self._attempts = QueueMetrics("notification", queue, metrics.QUEUE, log=context.log, meter=context.meter)
        c = notification_routes.c
        self._batches = Batches(
            queue,
            context.database,
            self._deliver,
            columns=(c.notification_id, c.kind, c.account_id, c.channel, c.request_id),
            recorded=self._recorded,
            monotonic=context.clock.monotonic,
        )

    async def run(self) -> bool:
        """Make one pass: deliver a set of due routes."""
        more = await self._batches.run()
        self._attempts.hand_over()
        return more

    async def _deliver(self, connection: Connection, claims: Sequence[Claim]) -> list[Result]:
        """Deliver claimed routes, each channel's together."""
        ids = {claim.row.account_id for claim in claims if claim.row.account_id is not None}
        accounts = await self._accounts.lock(connection, ids) if ids else {}
        if deleted := [each.id for each in accounts.values() if each.deleted_at is not None]:
            await queries.forget_payloads(connection, deleted)  # of intents that were submitted meanwhile
        # read after the lock: the deletion of an account empties the payloads that were for it
        payloads = await queries.find_payloads(connection, {claim.row.notification_id for claim in claims})
        muted = await queries.find_mutes(connection, ids) if ids else set()
        results: list[Result] = []
        ways: dict[tuple[Audience, Channel], list[OutgoingRoute]] = defaultdict(list)
        for claim in claims:
            prepared = self._prepare(claim, accounts, payloads, muted)
            if isinstance(prepared, Result):
                results.append(prepared)
            else:
                ways[prepared.kind.audience, Channel(claim.row.channel)].append(prepared)
        for way, routes in ways.items():
            results += await self._ways[way].deliver(connection, routes)
        return results

    def _prepare(
        self,
        claim: Claim,
        accounts: Mapping[UUID, Account],
        payloads: Mapping[UUID, str],
        muted: Collection[tuple[UUID, str, str]],
    ) -> OutgoingRoute | Result:
        """Return the route to deliver, or the result where it is not delivered.

        A kind that this replica does not know, a newer one may know, while a deployment is rolled: it is tried again.
        """
        kind = self._catalogue.find(claim.row.kind)
        if kind is None:
            reason = f"no plugin here registers the kind {claim.row.kind!r}: install it, then retry the route"
            return Result(claim, Outcome.RETRYING, reason)
        account = None
        if kind.audience is Audience.ACCOUNT:
            account = accounts.get(claim.row.account_id)
            if account is None:
                return Result(claim, Outcome.RETRYING, "the account is not known here")
            if refusal := refusal_of(account):  # before its payload, which a deletion has emptied
                return Result(claim, Outcome.SKIPPED, refusal)
        try:
            payload = kind.payload.model_validate_json(payloads[claim.row.notification_id])
        except ValidationError as error:
            stored = json.loads(payloads[claim.row.notification_id])
            fields = ", ".join(fault.field for fault in field_errors(error, stored, root="payload"))
            return Result(claim, Outcome.RETRYING, f"its payload does not fit its kind here: {fields}")
        if (claim.row.account_id, kind.name, claim.row.channel) in muted and not kind.mandatory:
            return Result(claim, Outcome.SKIPPED, Reason.PREFERENCE)
        return OutgoingRoute(claim, kind, payload, account)

    def _recorded(self, results: Sequence[Result]) -> None:
        for result in results:
            row = result.claim.row
            with request_context("notification", row.request_id):
                self._attempts.note(result, row.kind, row.channel, route_id=str(result.claim.id))
