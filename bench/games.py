"""Games in a database, as their start leaves them, and the real plugins that run their turns.

Lobby, notification and runtime are the real ones; what they require of others is faked. Notifications are written, but
not delivered: a measure of turns would else measure mails too. The engine is a double in this process that answers at
once with what it was given, or a null engine over HTTP (`bench.null_engine`).
"""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, cast
from uuid import UUID

import asyncpg
from msgspec import Raw

from galaxy_chassis import gc_tuning
from galaxy_chassis.clock import Clock, SystemClock
from galaxy_contracts.access import ADMIN_AUTHENTICATOR, USER_AUTHENTICATOR
from galaxy_contracts.accounts import ACCOUNTS
from galaxy_contracts.capability import Capability
from galaxy_contracts.engines import ENGINE_VERSIONS
from galaxy_contracts.mail import OUTBOX
from galaxy_contracts.testing import FakeAccounts, FakeAdmins, FakeEngineVersions, FakeOutbox, FakeUsers
from galaxy_devkit.testing.kernel import Booted, make_boot, offering
from galaxy_engine.client import EngineClient
from galaxy_engine.failures import EngineFailure
from galaxy_engine.messages import Describe, Orders, Players, Position, Turn, Verdict
from galaxy_engine.transport import Transport
from galaxy_kernel.api import Context, Worker
from galaxy_lobby.plugin import LobbyPlugin
from galaxy_notification.plugin import NotificationPlugin
from galaxy_runtime.engines.domain import Engine, Engines
from galaxy_runtime.plugin import RuntimePlugin
from galaxy_runtime.records.service import TURN_WORKER
from galaxy_runtime.settings import RuntimeSettings
from galaxy_runtime.turns.domain import Claim
from galaxy_runtime.turns.service import ClaimedTurns

SEATS = 4
STATE_BYTES = 8_192
VERSION = UUID("00000000-0000-7000-8000-00000000000e")
REPORT = b'{"text":"' + b"What this seat sees of the turn. " * 8 + b'"}'
ORDERS = b'[{"move":"fleet 1","to":"Vega"},{"build":"scout"}]'
TABLES = "games, memberships, runtime_records, runtime_turns, runtime_reports, runtime_orders, runtime_operation_log"
WRITTEN = "notifications, notification_routes, feed_changes"

_GAME = "('00000000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid"
_ACCOUNT = "('00000000-0000-7000-9000-' || lpad(to_hex(n * 8 + seat), 12, '0'))::uuid"
_SCHEDULE = '{"interval": 86400.0}'
_AWAITING = "{" + ",".join(str(seat) for seat in range(1, SEATS + 1)) + "}"
_NAMES = ", ".join(f"'{seat}', jsonb_build_object('name', 'Player {seat}')" for seat in range(1, SEATS + 1))
_EACH = "FROM generate_series(1, $1::int) AS n"
GAMES = f"""
    INSERT INTO games (id, name, visibility, engine_version_id, min_players, max_players, enrolled, options, schedule,
        run_when_final, policy, policy_options, state, turn, next_turn_at, awaiting, created_at, started_at,
        state_changed_at, request_id)
    SELECT {_GAME}, 'Game ' || n, 'public', '{VERSION}', {SEATS}, {SEATS}, {SEATS}, '{{}}', '{_SCHEDULE}', false,
        'fixed', '{{}}', 'running', 0, now() + interval '1 day', '{_AWAITING}', now(), now(), now(), 'bench' {_EACH}
"""
MEMBERS = f"""
    INSERT INTO memberships (id, game_id, account_id, seat, state, name, joined_at, request_id)
    SELECT uuidv7(), {_GAME}, {_ACCOUNT}, seat, 'playing', 'Player ' || seat, now(), 'bench'
    {_EACH}, generate_series(1, {SEATS}) AS seat
"""
RECORDS = f"""
    INSERT INTO runtime_records (game_id, engine_version_id, image, seats, options, seed, wanted, schedule, anchor,
        playing, next_turn_at, tick_at, awaiting, made_at, request_id)
    SELECT {_GAME}, '{VERSION}', 'bench', jsonb_build_object({_NAMES}), '{{}}', '\\x00', 'down', '{_SCHEDULE}', now(),
        true, now() + interval '1 day' + n * interval '1 millisecond', now() + interval '1 day', '{_AWAITING}', now(),
        'bench' {_EACH}
"""
POSITIONS = f"""
    INSERT INTO runtime_turns (id, game_id, turn, state, state_digest, awaiting, eliminated, finished, trigger, seed,
        engine_version_id, generation, request_id)
    SELECT uuidv7(), {_GAME}, 0, convert_to('{{"pad":"' || (SELECT string_agg(md5(n::text || i::text), '')
        FROM generate_series(1, {STATE_BYTES // 32}) AS i) || '"}}', 'UTF8'), '\\x00', '{_AWAITING}', '{{}}', false,
        'start', 'seed', '{VERSION}', 1, 'bench' {_EACH}
"""
_DUE = f"""
    WITH due AS (
        UPDATE runtime_records SET next_turn_at = statement_timestamp(), tick_at = statement_timestamp(),
            sent = awaiting WHERE game_id = ANY($1::uuid[]) RETURNING game_id, turn, awaiting
    )
    INSERT INTO runtime_orders (game_id, epoch, turn, seat, orders, final, revision, request_id)
    SELECT game_id, 0, turn, unnest(awaiting), convert_to('{ORDERS.decode()}', 'UTF8'), false, 1, 'bench' FROM due
"""


def game_id(number: int) -> UUID:
    """Return the id of a game, from 1."""
    return UUID(f"00000000-0000-7000-8000-{number:012x}")


def account_id(number: int, seat: int) -> UUID:
    """Return the id of the account on a seat of a game."""
    return UUID(f"00000000-0000-7000-9000-{number * 8 + seat:012x}")


def everybody(games: int) -> list[UUID]:
    """Return the ids of the accounts on the seats of the first so many games."""
    return [account_id(number, seat) for number in range(1, games + 1) for seat in range(1, SEATS + 1)]


async def fill(dsn: str, games: int, statements: Sequence[str] = (GAMES, MEMBERS, RECORDS, POSITIONS)) -> None:
    """Put games there in place of all others, each with its position 0 and nothing due for a day.

    `statements`: what is put there of each.
    """
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(f"TRUNCATE {TABLES}, {WRITTEN}")
        for statement in statements:
            await connection.execute(statement, games)
        await connection.execute(f"VACUUM ANALYZE {TABLES}")
        await connection.execute("CHECKPOINT")
    finally:
        await connection.close()


async def make_due(connection: "asyncpg.Connection[Any]", games: Sequence[UUID]) -> None:
    """Have every seat of these games sent orders, and their turns be due now."""
    await connection.execute(_DUE, games)


_REPORTS = {seat: Raw(REPORT) for seat in range(1, SEATS + 1)}


class NotDelivering(NotificationPlugin):
    """Notifications that stay where they were written."""

    def backend_workers(self) -> Sequence[Worker]:
        """Return none."""
        return ()


class NullClient:
    """An engine in this process: the next position is the state that it was given."""

    async def turn(self, request: Turn) -> Position:
        """Return the next position."""
        return Position(turn=request.turn + 1, state=cast("Raw", request.state), reports=_REPORTS)

    async def validate(self, seat: int, orders: Orders) -> Verdict:  # noqa: ARG002 - of the contract
        """Accept."""
        return Verdict(accepted=True)


DESCRIBE = Describe(
    contract=1, engine="null", version="1.0.0", players=Players(1, 8), capabilities=("bundle", "validate")
)


class NullEngines:
    """`Engines` with one engine for all games: in this process, or at an address."""

    def __init__(self, address: str = "") -> None:
        self._address = address
        self._opened: Engine | None = None
        self._transport: Transport | None = None

    async def open(self, game_id: UUID, patience: timedelta) -> Engine:  # noqa: ARG002 - of the contract
        """Return the engine."""
        if self._opened is None:
            client: Any = NullClient()
            if self._address:
                self._transport = Transport()
                client = EngineClient(self._transport, self._address)
            self._opened = Engine(client, DESCRIBE, 1, VERSION)
        return self._opened

    async def cause(self, game_id: UUID, generation: int, failure: EngineFailure) -> EngineFailure:  # noqa: ARG002
        """Return the failure."""
        return failure

    async def wake(self, game_ids: Sequence[UUID]) -> None:
        """Do nothing: it is awake."""

    async def close(self) -> None:
        """Close connections."""
        if self._transport is not None:
            await self._transport.close()


def fakes(accounts: Sequence[UUID] = ()) -> type[Any]:
    """Return a plugin of what the three require of others."""
    versions = FakeEngineVersions()
    offers: dict[Capability[Any], Any] = {
        ACCOUNTS: FakeAccounts(),
        OUTBOX: FakeOutbox(),
        ENGINE_VERSIONS: versions,
        USER_AUTHENTICATOR: FakeUsers(accounts),
        ADMIN_AUTHENTICATOR: FakeAdmins(),
    }
    return offering("fakes", offers)


PLUGINS = (RuntimePlugin, LobbyPlugin, NotDelivering, fakes())
"""What has tables here."""


@dataclass
class Table:
    """A booted kernel that runs turns."""

    booted: Booted
    runtime: RuntimePlugin
    ended: list[Claim]
    """Turns that ran to their end, as they did."""
    claimed_at: list[tuple[Claim, float]]
    """Claims with the time, in seconds since 1970, at which this process knew that they were committed."""
    _more: asyncio.Event

    async def until(self, count: int) -> None:
        """Wait until so many turns have ended."""
        async with asyncio.timeout(600):
            while len(self.ended) < count:
                self._more.clear()
                await self._more.wait()

    def wake(self) -> None:
        """Have due turns looked for, as a commit that makes one due does."""
        self.runtime._context.wakeups.event(TURN_WORKER).set()


@asynccontextmanager
async def table(
    dsn: str,
    address: str = "",
    accounts: Sequence[UUID] = (),
    port: int = 0,
    clock: Clock | None = None,
    environment: Mapping[str, str] = {},
    **settings: str,
) -> AsyncIterator[Table]:
    """Boot lobby, notification and runtime on games that are there; `settings` are the runtime's, by their names.

    `accounts` may make requests, with their ids as tokens; `environment` has the variables of others' settings.
    """
    made: list[RuntimePlugin] = []
    engines = NullEngines(address)

    class Runtime(RuntimePlugin):
        def __init__(self, context: Context[RuntimeSettings]) -> None:
            super().__init__(context, cast("Engines", engines))
            made.append(self)

    plugins = (Runtime, LobbyPlugin, NotDelivering, fakes(accounts))
    variables = {f"BACKEND_RUNTIME_{name.upper()}": value for name, value in {"driver": "process", **settings}.items()}
    variables |= {"BACKEND_HTTP_LISTEN_ADDR": f"127.0.0.1:{port}", **environment}
    boot = make_boot(cast("Any", None))
    async with boot(*plugins, dsn=dsn, environment=variables, clock=clock or SystemClock()) as booted:
        [runtime] = made
        playing = Table(booted, runtime, [], [], asyncio.Event())
        _observe(playing)
        gc_tuning.freeze()  # as `serve` does once it is ready
        yield playing
    await engines.close()


def _observe(playing: Table) -> None:
    runner, turns = playing.runtime.turns._runner, playing.runtime.turns._turns
    run, claim_turns = runner.run, turns.claim

    async def claimed(limit: int, latest: datetime) -> ClaimedTurns:
        found = await claim_turns(limit, latest)
        playing.claimed_at += [(claim, time.time()) for claim in found.claims]
        return found

    async def noted(claim: Claim, *more: Any) -> None:
        await run(claim, *more)
        playing.ended.append(claim)
        playing._more.set()

    turns.claim = claimed  # type: ignore[method-assign]
    runner.run = noted  # type: ignore[method-assign,assignment]


async def timed_round(playing: Table, connection: "asyncpg.Connection[Any]", games: Sequence[UUID]) -> float:
    """Have the turns of these games run, and return the seconds that they took."""
    already = len(playing.ended)
    await make_due(connection, games)
    began = time.perf_counter()
    playing.wake()
    await playing.until(already + len(games))
    return time.perf_counter() - began


async def check(dsn: str, turns: int) -> None:
    """Raise RuntimeError unless so many turns were made, with everything that belongs to each."""
    expected = {
        "SELECT count(*) FROM runtime_turns WHERE trigger = 'scheduled'": turns,
        "SELECT count(*) FROM runtime_reports": turns * SEATS,
        "SELECT count(*) FROM runtime_orders WHERE used_digest IS NOT NULL": turns * SEATS,
        "SELECT sum(turn) FROM runtime_records": turns,
        "SELECT sum(turn) FROM games": turns,
        "SELECT count(*) FROM notifications": turns,
        "SELECT count(*) FROM notification_routes": turns * SEATS * 2,
    }
    connection = await asyncpg.connect(dsn)
    try:
        for statement, count in expected.items():
            found = await connection.fetchval(statement)
            if found != count:
                raise RuntimeError(f"turns: {statement}: {found} in place of {count}")
    finally:
        await connection.close()
