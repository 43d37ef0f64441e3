"""Checks of versions: requested by an operator, run in the background, with their results stored.

A pass of the worker holds no connection while an engine is examined: it claims a check under a lease, starts the
examination as a task, and ends; later passes renew the lease, and the one after the task's end stores the result.

What happens if the process dies between any two lines: a requested check is a column of the version's row, set in the
request's transaction. Once claimed it is under a lease, which a dead process does not renew: another process claims the
check, removes the engines that were left behind (their owner is the version's id), and begins again. A process that was
only slow finds that the lease has another number: its result is void. A check that `MAX_TRIES` processes have claimed
and not ended has failed: perhaps it was the engine that brought them down.
"""

import asyncio
from datetime import timedelta
from typing import Any
from uuid import UUID

from galaxy_contracts.engines import EngineDrivers, EngineVersion
from galaxy_engineversion import queries
from galaxy_engineversion.conformance import Examined, Failure, examine
from galaxy_engineversion.domain import Claim
from galaxy_engineversion.errors import driver_missing
from galaxy_engineversion.metrics import CHECKS
from galaxy_engineversion.settings import EngineVersionSettings
from galaxy_engineversion.users import VersionUsers
from galaxy_kernel.api import (
    Cache,
    Connection,
    Context,
    found_work,
    is_unavailable,
    not_found,
    request_context,
    request_id,
)

CHECK_WORKER = "engineversion.check"
LEASE = timedelta(seconds=60)
"""How long a claim holds without being renewed."""
MAX_TRIES = 3


class Checks:
    """The checks of one process: it runs one at a time."""

    def __init__(
        self, context: Context[EngineVersionSettings], cache: Cache[UUID, EngineVersion], users: VersionUsers
    ) -> None:
        self._context, self._cache, self._users = context, cache, users
        self._drivers: EngineDrivers | None = None
        self._running: tuple[Claim, asyncio.Task[Examined]] | None = None
        self._ended = CHECKS.on(context.meter)

    def register_drivers(self, drivers: EngineDrivers) -> None:
        """Register where engines run; see the contract."""
        if self._drivers is not None:
            raise ValueError("drivers of engines are registered already: one plugin has them")
        self._drivers = drivers

    @property
    def possible(self) -> bool:
        """Whether this process can start engines."""
        return self._drivers is not None

    async def request(self, version_id: UUID) -> None:
        """Request a check of a version; one that waits or runs already is not begun again."""
        if self._drivers is None:
            raise driver_missing()
        async with self._context.database.transaction() as connection:
            if await queries.lock_version(connection, version_id) is None:
                raise not_found("engine version")
            await queries.request_check(connection, version_id, request_id())
            self._context.wakeups.after_commit(connection, CHECK_WORKER)

    async def work(self) -> bool:
        """Advance the current check, or claim one; return whether there may be more to do at once."""
        if self._drivers is None:
            return False
        if self._running is None:
            return await self._begin(self._drivers)
        claim, task = self._running
        if task.done():
            await self._end(claim, task)
            self._running = None
            return True
        async with self._context.database.transaction() as connection:
            ours = await queries.renew_check(connection, claim, LEASE)
        if not ours:
            self._ended.add(1, {"outcome": "void"})
            self._context.log.warning("engine_check_voided", engine_version=claim.name.replace("@", " "))
            await self._cancel()
        return not ours

    async def close(self) -> None:
        """Cancel the current examination; another process may begin it again at once."""
        if self._running is None:
            return
        claim, _ = self._running
        await self._cancel()
        try:
            async with self._context.database.transaction() as connection:
                await queries.release_check(connection, claim)
        except Exception as error:
            if not is_unavailable(error):  # then the lease ends by itself
                raise

    async def _begin(self, drivers: EngineDrivers) -> bool:
        async with self._context.database.transaction() as connection:
            claim = await queries.claim_check(connection, LEASE)
            if claim is None:
                return False
            found_work()
            image = await self._image(connection, claim)
        if claim.tries > MAX_TRIES:
            lost = Failure("check_lost", f"{MAX_TRIES} processes ended or were lost while they examined the engine")
            await self._keep(claim, Examined(claim.image, failure=lost))
            return True
        with request_context(self._context.plugin, claim.request_id):
            self._context.log.info(
                "engine_check_started", engine_version=claim.name.replace("@", " "), tries=claim.tries
            )
            limit = self._context.settings.check_timeout
            task = asyncio.create_task(examine(drivers, claim.id, image, limit), name=f"check of {claim.name}")
        task.add_done_callback(lambda _: self._context.wakeups.event(CHECK_WORKER).set())
        self._running = claim, task
        return False

    async def _image(self, connection: Connection, claim: Claim) -> str:
        """Return what to examine: what games run, where some do; else what the image is now."""
        if claim.digest is not None and await self._users.in_use(connection, claim.id):
            return claim.digest
        return claim.image

    async def _end(self, claim: Claim, task: "asyncio.Task[Examined]") -> None:
        with request_context(self._context.plugin, claim.request_id):
            await self._keep(claim, self._outcome(claim, task))

    def _outcome(self, claim: Claim, task: "asyncio.Task[Examined]") -> Examined:
        error = asyncio.CancelledError() if task.cancelled() else task.exception()
        if error is None:
            return task.result()
        self._context.log.error("engine_check_broken", engine_version=claim.name.replace("@", " "), exc_info=error)
        return Examined(
            claim.image, failure=Failure("kit_broken", f"the kit itself failed with {type(error).__name__}")
        )

    async def _keep(self, claim: Claim, examined: Examined) -> None:
        """Store a result, if the claim still holds. Digest and description stay while a game uses them."""
        result = examined.result()
        async with self._context.database.transaction() as connection:
            row = await queries.lock_version(connection, claim.id)
            if row is None:
                return
            found: dict[str, Any] = {}
            moved = row.digest is not None and examined.digest is not None and row.digest != examined.digest
            if not moved or not await self._users.in_use(connection, claim.id):
                found["digest"] = examined.digest or row.digest
                if examined.describe is not None or moved:
                    found["describe"] = examined.describe
            version = await queries.finish_check(connection, claim, self._context.clock.now(), result, **found)
            if version is not None:
                await self._cache.put(connection, version)
        outcome = "void" if version is None else "passed" if result["conforms"] else "failed"
        self._ended.add(1, {"outcome": outcome})
        self._context.log.info("engine_check_ended", engine_version=claim.name.replace("@", " "), outcome=outcome)

    async def _cancel(self) -> None:
        """Cancel the current examination, and wait until its engines are removed."""
        if self._running is None:
            return
        _, task = self._running
        task.cancel()
        await asyncio.wait([task])
        self._running = None
