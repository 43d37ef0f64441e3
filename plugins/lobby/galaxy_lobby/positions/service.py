"""What the runtime tells of games, inside its transactions: implements the contract `GameTable`.

What a crash leaves behind: nothing is begun or committed here. The game's row, its memberships, the feed of memory and
the notifications are written on the connection on which the runtime writes the position, so a turn and everything that
follows from it are there together or not at all. Whoever takes the turn up after a crash makes the same position again,
under the same keys, so nobody is told twice.

The caller holds the records of the games. Whoever changes who plays a game that was launched locks its record first:
so nothing read here can change before the COMMIT.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from uuid import UUID

from galaxy_contracts.notification import Intent
from galaxy_contracts.runtime import RUNTIME, Failure, PositionMade
from galaxy_kernel.api import Connection, Context
from galaxy_lobby import notices
from galaxy_lobby.domain import PLAYING, Game, accounts_of
from galaxy_lobby.notices import Notices, intent_of
from galaxy_lobby.positions import queries
from galaxy_lobby.positions.domain import Outcome, UnexpectedPositionError, apply
from galaxy_lobby.queries import lock_games
from galaxy_lobby.settings import LobbySettings
from galaxy_lobby.store import GameStore

_LONGEST_REASON = 200


class PositionService:
    """The table that the runtime plays at."""

    def __init__(self, context: Context[LobbySettings], store: GameStore, told: Notices) -> None:
        self._context, self._store, self._notices = context, store, told

    async def position_made(self, connection: Connection, made: PositionMade) -> None:
        """Note a position; see the contract. Raise UnexpectedPositionError."""
        await self.positions_made(connection, [made])

    async def positions_made(self, connection: Connection, made: Sequence[PositionMade]) -> None:
        """Note positions of different games; see the contract. Raise UnexpectedPositionError."""
        positions = {each.game_id: each for each in made}
        games = await lock_games(connection, positions.keys())
        if len(games) != len(made):
            raise UnexpectedPositionError("a position of a game that is not there, or two of one game")
        members = await queries.find_members_of(connection, positions.keys())
        now, patience = self._store.now(), self._context.settings.abandon_after
        outcomes = [apply(game, members.get(game.id, []), positions[game.id], now, patience) for game in games]
        written = await queries.write(connection, outcomes, now.isoformat())
        await self._store.keep_games(connection, written)
        await self._store.keep_members(connection, [member for each in outcomes for member in each.changed])
        for game, outcome in zip(written, outcomes, strict=True):
            if outcome.abandoned:
                await self._context.require(RUNTIME).suspend(connection, game.id)
        pairs = zip(written, outcomes, strict=True)
        await self._notices.tell_all(connection, [each for pair in pairs for each in _intents(*pair)])

    async def start_failed(self, connection: Connection, game_id: UUID, failure: Failure) -> None:
        """Note that a game could not be started; see the contract."""
        game = await self._locked(connection, game_id, "starting")
        values = {"state": "start_failed", "failure": failure.code}
        changed = await self._store.change(connection, game, values)
        told = await self._everybody(connection, changed)
        await self._notices.tell(connection, notices.START_FAILED, changed, told, failure=failure.code)

    async def halted(self, connection: Connection, game_id: UUID, failure: Failure) -> None:
        """Pause a game whose turn could not be adjudicated; see the contract. An operator's pause stays one."""
        game = await self._locked(connection, game_id, *PLAYING)
        reason = "operator" if game.pause_reason == "operator" else "engine_failed"
        values = {"state": "paused", "pause_reason": reason, "failure": failure.code, "next_turn_at": None}
        changed = await self._store.change(connection, game, values)
        told = await self._everybody(connection, changed)
        await self._notices.tell(connection, notices.PAUSED, changed, told, reason="engine_failed")

    async def postponed(self, connection: Connection, game_id: UUID, until: datetime, reason: str) -> None:
        """Note that a deadline was moved; see the contract."""
        game = await self._locked(connection, game_id, *PLAYING)
        changed = await self._store.change(connection, game, {"next_turn_at": until})
        told = await self._everybody(connection, changed)
        payload = {"turn": changed.turn or 0, "next_turn_at": until, "by_owner": False}
        why = reason[:_LONGEST_REASON]
        await self._notices.tell(connection, notices.POSTPONED, changed, told, reason=why, **payload)

    async def deadline_near(self, connection: Connection, game_id: UUID, turn: int, seats: Sequence[int]) -> None:
        """Remind the players of these seats; see the contract."""
        game = await self._locked(connection, game_id, *PLAYING)
        members = await self._store.members(connection, game)
        told = accounts_of(each for each in members if each.state == "playing" and each.seat in seats)
        payload = {"turn": turn, "next_turn_at": game.next_turn_at}
        await self._notices.tell(connection, notices.DEADLINE_NEAR, game, told, once=turn, **payload)

    async def _locked(self, connection: Connection, game_id: UUID, *states: str) -> Game:
        """Return a game whose record the caller holds. Raise UnexpectedPositionError in another state."""
        game = await self._store.lock(connection, game_id)
        if game.state not in states:
            raise UnexpectedPositionError(f"game {game_id} is {game.state}: expected {' or '.join(states)}")
        return game

    async def _everybody(self, connection: Connection, game: Game) -> tuple[UUID, ...]:
        return accounts_of(await self._store.members(connection, game), game.owner_id)


def _intents(game: Game, outcome: Outcome) -> Iterator[Intent]:
    """Yield what is reported to players of a position."""
    turn, due = game.turn or 0, game.next_turn_at
    everybody = accounts_of([], *outcome.members, game.owner_id)
    if outcome.started and everybody:
        yield intent_of(notices.STARTED, game, everybody, once=turn, next_turn_at=due)
    if outcome.missed:
        yield intent_of(notices.TURN_MISSED, game, outcome.missed, once=turn - 1, turn=turn - 1)
    if outcome.eliminated:
        yield intent_of(notices.ELIMINATED, game, outcome.eliminated, once=turn, turn=turn)
    if outcome.ready:
        yield intent_of(notices.TURN_READY, game, outcome.ready, once=turn, turn=turn, next_turn_at=due)
    if outcome.abandoned and everybody:
        yield intent_of(notices.PAUSED, game, everybody, reason="abandoned")
    if game.state == "finished" and everybody:
        yield intent_of(notices.FINISHED, game, everybody, once=turn, turn=turn)
