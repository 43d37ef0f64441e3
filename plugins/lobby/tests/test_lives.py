"""Any history of a game: what people and the runtime do in any order, against a model of the rules (SPEC L-1, L-4)."""

import asyncio
from collections.abc import Iterator
from contextlib import AsyncExitStack
from typing import Any, ClassVar
from uuid import UUID

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from galaxy_contracts.accounts import AccountDeleted
from galaxy_contracts.runtime import Failure
from galaxy_devkit.testing.postgres import PostgresCluster

GAMES, ADMIN = "/api/v1/user/games", "/api/v1/admin/games"
ENDED = ("finished", "cancelled")
LAUNCHED = ("starting", "start_failed", "running", "paused")
PLAYERS = st.sampled_from([0, 0, 0, 1, 2, 3])
SELDOM = st.sampled_from([False] * 9 + [True])
ABANDON_AFTER = 3


class Lives(RuleBasedStateMachine):
    """One game with an owner, player 0, and three others, who all may do anything at any time."""

    world: ClassVar[Any]
    runner: ClassVar[asyncio.Runner]

    def run(self, work: Any) -> Any:
        return self.runner.run(work)

    @initialize(
        size=st.sampled_from([1, 2, 3, 3]),
        fewest=st.integers(1, 2),
        begun=st.sampled_from(["draft", "enrolling", *["running"] * 4]),
    )
    def begin(self, size: int, fewest: int, begun: str) -> None:
        """Create the game, and the model of it, and bring it to where the history begins."""
        self.create(size, fewest)
        if begun != "draft":
            self.open(0)
        if begun == "running":
            for player in range(size):
                self.join(player)
            self.start(0)
            self.turn_runs(over=False, out=None)

    def create(self, size: int, fewest: int) -> None:
        self.players = [self.world.account(name) for name in ("Ada", "Bob", "Cleo", "Dora")]
        self.size, self.fewest = size, min(fewest, size)
        limits = {"max_players": size, "min_players": self.fewest}
        self.game = self.run(self.world.create(self.players[0], **limits))
        self.state, self.reason = "draft", None
        self.seated: dict[int, str] = {}
        """Live parts of people: player and state."""
        self.row: dict[int, int] = {}
        """Turns missed in a row."""
        self.machines = self.idle = 0
        self.turn: int | None = None
        self.sent: set[int] = set()
        self.gone: set[int] = set()
        """Deleted accounts."""
        self.owner = 0
        self.last_turn = -1

    def ask(self, player: int, word: str, method: str = "POST", **request: Any) -> int:
        """Do something as a player, and return the status."""
        path = f"{GAMES}/{self.game}/{word}"
        status, answer = self.run(self.world.ask(method, path, self.players[player], **request))
        assert status < 500, answer
        return int(status)

    def may(self, player: int, allowed: bool) -> int | None:
        """Return the status of an owner's action that is refused; None if it goes through."""
        if player in self.gone:
            return 401
        if player == self.owner:
            return None if allowed else 409
        return 404 if self.state == "draft" else 403

    @property
    def enrolled(self) -> int:
        return len(self.seated) + self.machines

    def refill(self) -> None:
        """Work out whether the game enrols or is ready."""
        self.state = "ready" if self.enrolled == self.size else "enrolling"

    @rule(player=PLAYERS)
    def open(self, player: int) -> None:
        """Let players join."""
        refused = self.may(player, self.state == "draft")
        assert self.ask(player, "open-enrolment") == (refused or 200)
        if refused is None:
            self.state = "enrolling"

    @rule(player=PLAYERS)
    def join(self, player: int) -> None:
        """Ask for a seat."""
        status = self.ask(player, "join")
        if player in self.gone:
            assert status == 401
        elif self.state == "draft" and player != self.owner:
            assert status == 404
        elif player in self.seated:
            assert status == 200
        elif self.state == "enrolling":
            assert status == 200
            self.seated[player] = "enrolled"
            self.refill()
        else:
            assert status == 409

    @rule(player=PLAYERS)
    def leave(self, player: int) -> None:
        """Leave before the start."""
        status = self.ask(player, "leave")
        if player in self.seated and self.state in ("enrolling", "ready"):
            assert status == 200
            self.forget(player)
            self.refill()
        else:
            assert status in (401, 404, 409)

    @rule(player=PLAYERS, count=st.integers(1, 3))
    def add_machines(self, player: int, count: int) -> None:
        """Add machines."""
        fits = self.state == "enrolling" and self.enrolled + count <= self.size and self.machines + count < self.size
        refused = self.may(player, fits)
        assert self.ask(player, "machines", json={"count": count}) == (refused or 200)
        if refused is None:
            self.machines += count
            self.refill()

    @rule(player=PLAYERS)
    def remove_machines(self, player: int) -> None:
        """Remove all machines."""
        refused = self.may(player, self.state in ("enrolling", "ready"))
        assert self.ask(player, "machines", "DELETE") == (refused or 200)
        if refused is None:
            self.machines = 0
            self.refill()

    @rule(player=PLAYERS)
    def start(self, player: int) -> None:
        """Deal and launch, or launch again."""
        enough = self.enrolled >= self.fewest or self.state == "start_failed"
        allowed = self.state in ("enrolling", "ready", "start_failed") and enough and len(self.seated) > 0
        refused = self.may(player, allowed)
        assert self.ask(player, "start") == (refused or 202)
        if refused is None:
            self.seated = {each: "playing" if state == "enrolled" else state for each, state in self.seated.items()}
            self.state = "starting"

    @precondition(lambda self: self.state == "starting")
    @rule()
    def fail_to_start(self) -> None:
        """The engine cannot be had."""

        async def fail() -> None:
            async with self.world.database.transaction() as connection:
                await self.world.runtime.fail_start(connection, UUID(self.game), Failure("pull_failed", "no"))

        self.run(fail())
        self.state = "start_failed"

    @precondition(lambda self: self.state in ("starting", "running", "paused"))
    @rule(over=SELDOM, out=st.none() | PLAYERS)
    def turn_runs(self, over: bool, out: int | None) -> None:
        """The runtime makes the next position; perhaps somebody is out, or the game over."""
        before = {each for each, state in self.seated.items() if state == "playing"}
        awaited = before if self.turn is not None else set()
        seat = self.run(self.seat_of(out)) if out in before and self.turn is not None else None
        self.run(self.world.position(self.game, finished=over, eliminated=[] if seat is None else [seat]))
        self.turn = 0 if self.turn is None else self.turn + 1
        for each in awaited:
            self.row[each] = 0 if each in self.sent else self.row.get(each, 0) + 1
        if self.turn:
            self.idle = 0 if awaited & self.sent else self.idle + 1
        self.sent = set()
        if seat is not None and not over:
            self.seated[out or 0] = "eliminated"
        if over:
            self.finish("finished")
        elif self.state == "starting":
            self.state = "running"
        elif self.state == "running" and self.idle >= ABANDON_AFTER:
            self.state, self.reason = "paused", "abandoned"

    async def seat_of(self, player: int | None) -> int:
        account = self.players[player or 0].id
        query = "SELECT seat FROM memberships WHERE account_id = :account AND game_id = :game"
        [(seat,)] = await self.world.rows(query, account=account, game=UUID(self.game))
        return int(seat)

    @rule(player=PLAYERS)
    def order_units(self, player: int) -> None:
        """Send orders for the current turn."""
        status = self.ask(player, "orders", "PUT", json={"turn": self.turn or 0, "orders": []})
        if self.seated.get(player) == "playing" and self.turn is not None and self.state in ("running", "paused"):
            assert status == 200
            self.sent.add(player)
        else:
            assert status in (401, 404, 409)

    @rule(player=PLAYERS)
    def pause(self, player: int) -> None:
        """The owner stops the clock."""
        refused = self.may(player, self.state == "running")
        assert self.ask(player, "pause") == (refused or 200)
        if refused is None:
            self.state, self.reason = "paused", "owner"

    @rule(player=PLAYERS)
    def resume(self, player: int) -> None:
        """The owner lets it go on."""
        refused = self.may(player, self.state == "paused" and self.reason in ("owner", "abandoned"))
        assert self.ask(player, "resume") == (refused or 200)
        if refused is None:
            self.state, self.reason, self.idle = "running", None, 0

    @rule(word=st.sampled_from(["pause", "resume"]))
    def operator(self, word: str) -> None:
        """An operator does either."""
        status, _ = self.run(self.world.ask("POST", f"{ADMIN}/{self.game}/{word}"))
        allowed = self.state in ("running", "paused") if word == "pause" else self.state == "paused"
        assert status == (200 if allowed else 409)
        if allowed and word == "pause":
            self.state, self.reason = "paused", "operator"
        elif allowed:
            self.state, self.reason, self.idle = "running", None, 0

    @precondition(lambda self: self.state in ("running", "paused"))
    @rule()
    def engine_fails(self) -> None:
        """The turn cannot be adjudicated."""

        async def halt() -> None:
            async with self.world.database.transaction() as connection:
                await self.world.runtime.halt(connection, UUID(self.game), Failure("engine_error", "no"))

        self.run(halt())
        self.state, self.reason = "paused", "operator" if self.reason == "operator" else "engine_failed"

    @rule(player=PLAYERS)
    def extend(self, player: int) -> None:
        """Move the next turn."""
        refused = self.may(player, self.state == "running")
        assert self.ask(player, "extend", json={"by": "1h"}) == (refused or 200)

    @rule(player=PLAYERS)
    def resign(self, player: int) -> None:
        """Resign from a game that was started."""
        status = self.ask(player, "resign")
        if self.seated.get(player) == "playing" and self.state in LAUNCHED:
            assert status == 200
            self.forget(player)
        else:
            assert status in (401, 404, 409)

    @rule(player=PLAYERS, removed=PLAYERS)
    def remove(self, player: int, removed: int) -> None:
        """Remove somebody."""
        member = f"members/{self.players[removed].id}"
        early = self.state in ("enrolling", "ready")
        playing = self.state in LAUNCHED and self.seated.get(removed) == "playing"
        late = playing and (self.turn is None or self.row.get(removed))
        refused = self.may(player, bool(early or late))
        if refused in (None, 409) and removed not in self.seated:
            refused = 404
        assert self.ask(player, member, "DELETE") == (refused or 204)
        if refused is None:
            self.forget(removed)
            if early:
                self.refill()

    @rule(player=PLAYERS, really=SELDOM)
    def cancel(self, player: int, really: bool) -> None:
        """End it; the owner seldom does."""
        if player == self.owner and not really:
            return
        refused = self.may(player, self.state not in ENDED)
        assert self.ask(player, "cancel") == (refused or 200)
        if refused is None:
            self.finish("cancelled")

    @rule(player=st.integers(1, 3), really=SELDOM)
    def delete_account(self, player: int, really: bool) -> None:
        """Somebody's account goes, not the owner's."""
        if not really or player in self.gone:
            return
        account = self.players[player]

        async def tell() -> None:
            gone = {"email": None, "display_name": "Deleted player", "deleted_at": self.world.clock.now()}
            self.world.fakes.accounts.change(account.id, **gone)
            self.world.fakes.users.accounts.discard(account.id)
            handler = self.world.listener(AccountDeleted)
            async with self.world.database.transaction() as connection:
                await handler(connection, AccountDeleted(account.id, account.email or "", self.world.clock.now()))

        self.run(tell())
        self.gone.add(player)
        if player in self.seated and self.state not in ENDED:
            self.forget(player)
            if self.state in ("enrolling", "ready"):
                self.refill()

    def forget(self, player: int) -> None:
        del self.seated[player]
        self.sent.discard(player)
        self.row.pop(player, None)

    def finish(self, state: str) -> None:
        self.state, self.reason, self.seated = state, None, {}

    @invariant()
    def rows_agree(self) -> None:
        """The tables say what the model says."""
        if not hasattr(self, "game"):
            return
        game = UUID(self.game)
        read = self.world.rows
        [(state, reason, enrolled, turn)] = self.run(
            read("SELECT state, pause_reason, enrolled, turn FROM games WHERE id = :game", game=game)
        )
        assert (state, reason, turn) == (self.state, self.reason, self.turn)
        if state in ("draft", "enrolling", "ready"):
            assert enrolled == self.enrolled
        members = self.run(
            read("SELECT account_id, seat, state, machine FROM memberships WHERE game_id = :game", game=game)
        )
        alive = [row for row in members if row[2] in ("enrolled", "playing", "eliminated")]
        accounts = {self.players[player].id: part for player, part in self.seated.items()}
        if state in ENDED:
            assert not alive
        else:
            assert {row[0]: row[2] for row in alive if not row[3]} == accounts
            assert sum(row[3] for row in alive) == self.machines
        seats = [row[1] for row in alive if row[1] is not None]
        assert len(seats) == len(set(seats))
        assert enrolled <= self.size

    @invariant()
    def memory_agrees(self) -> None:
        """Memory holds the game and its members as the tables do, until it has ended."""
        if not hasattr(self, "game"):
            return
        games, members = self.world.contributed("backend_caches")
        found = games.get(UUID(self.game))
        assert (found is None) is (self.state in ENDED)
        mine = [each for each in members.values() if each.game_id == UUID(self.game)]
        if found is None:
            assert mine == []
        else:
            assert (found.state, found.pause_reason, found.turn) == (self.state, self.reason, self.turn)
            assert len(mine) == len(self.seated) + self.machines
        assert (found is None or found.next_turn_at is not None) or found.state != "running"

    @invariant()
    def nobody_is_told_twice(self) -> None:
        """No key of a notification was submitted again."""
        assert self.world.fakes.notifications.repeated == 0

    @invariant()
    def turns_go_forward(self) -> None:
        """A turn is never taken back."""
        if hasattr(self, "game"):
            assert (self.turn if self.turn is not None else -1) >= self.last_turn
            self.last_turn = -1 if self.turn is None else self.turn


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    """Return an event loop of the test's own: the machine's rules are not coroutines."""
    with asyncio.Runner() as runner:
        yield runner


def test_any_history(runner: asyncio.Runner, postgres_cluster: PostgresCluster, world_in: Any) -> None:
    """Whatever is done in whatever order, answers, tables, memory and notifications are what the rules say."""
    stack = AsyncExitStack()
    Lives.runner = runner
    Lives.world = runner.run(world_in(stack, abandon_after=str(ABANDON_AFTER)))
    try:
        checked = settings(
            max_examples=settings.default.max_examples // 5,
            stateful_step_count=50,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        )
        run_state_machine_as_test(Lives, settings=checked)
    finally:
        runner.run(stack.aclose())
