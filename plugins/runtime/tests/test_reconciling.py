"""The reconciler's plan: each row of the design's table, and a world in which everything that can go wrong does.

The state machine is a model of hosts with unique names, records with leases, and workers that may be killed before or
after any call. When the noise stops, every game has exactly its wanted engine, whatever happened before.
"""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import msgspec
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from galaxy_engine.drivers.driver import EngineId, Observed
from galaxy_runtime.reconciling import (
    Action,
    Adopt,
    Desired,
    Forget,
    Launch,
    Raise,
    Remove,
    Renew,
    Start,
    plan,
)

NOW = datetime(2027, 3, 1, tzinfo=UTC)
OWNER, STRANGER = "11111111-0000-0000-0000-000000000000", "22222222-0000-0000-0000-000000000000"
GAME, OTHER = UUID(int=1), UUID(int=2)
BACK_OFF = timedelta(seconds=5)


def record(**changes: object) -> Desired:
    """Return a record that wants generation 3, with nothing noted."""
    values = {"game_id": GAME, "wanted": "up", "generation": 3, "generation_issued": 3} | changes
    return Desired(**values)  # type: ignore[arg-type] # the tests spell fields by name


def engine(generation: int = 3, *, state: str = "running", handle: str = "", owner: str = OWNER) -> Observed:
    """Return an engine of GAME."""
    name = handle or f"h{generation}"
    address = "10.0.0.2:8080" if state == "running" else None
    return Observed(EngineId(owner, GAME, generation), name, "image", state, address, started_at=NOW)  # type: ignore[arg-type]


noted = {"handle": "h3", "address": "10.0.0.2:8080"}


@pytest.mark.parametrize(
    ("desired", "engines", "expected"),
    [
        ([], [engine(2), engine(3)], [Remove(GAME, "h2"), Remove(GAME, "h3")]),
        ([record(in_hand=True)], [engine(2)], []),
        ([record(wanted="down")], [engine()], [Remove(GAME, "h3")]),
        ([record(wanted="idle", handle="h3")], [], [Forget(GAME)]),
        ([record(wanted="idle")], [], []),
        ([record()], [engine(5), engine(3)], [Raise(GAME, 5)]),
        ([record(**noted)], [engine(2), engine()], [Remove(GAME, "h2")]),
        ([record(**noted)], [engine(), engine(handle="twin")], [Remove(GAME, "twin")]),
        ([record()], [engine()], [Adopt(GAME, "h3", "10.0.0.2:8080")]),
        ([record(handle="h3", address="10.0.0.9:1")], [engine()], [Adopt(GAME, "h3", "10.0.0.2:8080")]),
        ([record()], [engine(state="starting")], [Start(GAME, 3)]),
        ([record(**noted)], [engine(state="ended")], [Renew(GAME, 3, "h3", "ended")]),
        ([record(**noted)], [engine(state="leaving")], [Renew(GAME, 3, None, "vanished")]),
        ([record(**noted)], [], [Renew(GAME, 3, None, "vanished")]),
        ([record()], [], [Launch(GAME, 3)]),
        ([record(not_before=NOW + BACK_OFF)], [], []),
        ([record(not_before=NOW)], [], [Launch(GAME, 3)]),
        ([record(**noted, unhealthy_since=NOW - timedelta(seconds=30))], [engine()], []),
        (
            [record(**noted, unhealthy_since=NOW - timedelta(seconds=31))],
            [engine()],
            [Renew(GAME, 3, "h3", "unhealthy")],
        ),
        ([record(**noted)], [engine()], []),
        ([record(**noted)], [engine(), engine(4, owner=STRANGER), engine(2, owner=STRANGER)], []),
        ([], [engine(owner=STRANGER)], []),
    ],
)
def test_each_row_of_the_table(desired: list[Desired], engines: list[Observed], expected: list[Action]) -> None:
    """What is seen on the left has the action on the right, and nothing else."""
    assert plan(OWNER, desired, engines, NOW) == expected


class World(RuleBasedStateMachine):
    """Two games on one host, any number of passes of the reconciler, each cut off anywhere."""

    @initialize()
    def begin(self) -> None:
        self.now = NOW
        self.records = {game: record(game_id=game, generation=1, generation_issued=1) for game in (GAME, OTHER)}
        self.engines: dict[tuple[str, UUID, int], Observed] = {}
        self.made = 0
        self.backup = dict(self.records)
        self.acted_on_strangers = False

    def act(self, *, only: int | None = None, crash_after: int | None = None) -> int:
        """Plan, then do each action as a worker does: look again, act, note; stop after so many calls."""
        calls = 0
        for action in plan(OWNER, self.records.values(), self.engines.values(), self.now)[:only]:
            mine = [each for each in self.records.values() if each.game_id == action.game_id]
            here = [each for each in self.engines.values() if each.id.game_id == action.game_id]
            if action not in plan(OWNER, mine, here, self.now):
                continue
            for step in self.steps(action):
                if crash_after is not None and calls >= crash_after:
                    return calls
                step()
                calls += 1
        return calls

    def steps(self, action: Action) -> list:  # type: ignore[type-arg] # of what a worker does, in order
        game = action.game_id

        def change(**fields: object) -> None:
            self.records[game] = msgspec.structs.replace(self.records[game], **fields)  # type: ignore[arg-type]

        match action:
            case Remove(handle=handle):
                return [lambda: self.remove(handle)]
            case Forget():
                return [lambda: change(handle=None, address=None)]
            case Raise(above=above):
                return [lambda: change(generation=above + 1, generation_issued=above + 1, handle=None, address=None)]
            case Adopt(handle=handle, address=address):
                return [lambda: change(handle=handle, address=address)]
            case Start(generation=generation) | Launch(generation=generation):
                return [lambda: self.create(game, generation), lambda: self.start(game, generation)]
            case Renew():
                following = self.records[game].generation_issued + 1
                return [
                    lambda: change(
                        generation=following,
                        generation_issued=following,
                        handle=None,
                        address=None,
                        not_before=self.now + BACK_OFF,
                    )
                ]

    def create(self, game: UUID, generation: int) -> None:
        """Create by name, which is unique: a second creation finds the first."""
        key = (OWNER, game, generation)
        if key not in self.engines and (STRANGER, game, generation) not in self.engines:
            self.made += 1
            self.engines[key] = Observed(EngineId(*key), f"made-{self.made}", "image", "starting", None)

    def start(self, game: UUID, generation: int) -> None:
        found = self.engines.get((OWNER, game, generation))
        if found is not None and found.state == "starting":
            address = f"10.0.0.{self.made % 250 + 1}:8080"
            self.engines[OWNER, game, generation] = msgspec.structs.replace(found, state="running", address=address)

    def remove(self, handle: str) -> None:
        key = next((key for key, each in self.engines.items() if each.handle == handle), None)
        if key is not None:
            self.acted_on_strangers |= key[0] != OWNER
            del self.engines[key]

    @rule(crash_after=st.none() | st.integers(0, 3))
    def pass_of_a_worker(self, crash_after: int | None) -> None:
        self.act(crash_after=crash_after)

    @rule(data=st.data())
    def an_engine_ends(self, data: st.DataObject) -> None:
        if self.engines:
            key = data.draw(st.sampled_from(sorted(self.engines, key=str)))
            self.engines[key] = msgspec.structs.replace(self.engines[key], state="ended", address=None)

    @rule(data=st.data())
    def an_engine_is_removed_by_hand(self, data: st.DataObject) -> None:
        if self.engines:
            del self.engines[data.draw(st.sampled_from(sorted(self.engines, key=str)))]

    @rule(game=st.sampled_from([GAME, OTHER]), generation=st.integers(1, 6))
    def a_leftover_of_ours(self, game: UUID, generation: int) -> None:
        self.create(game, generation)

    @rule(game=st.sampled_from([GAME, OTHER]))
    def a_stranger_beside_us(self, game: UUID) -> None:
        key = (STRANGER, game, 1000)
        self.engines[key] = Observed(EngineId(*key), f"stranger-{game}", "image", "running", "10.9.9.9:1")

    @rule(game=st.sampled_from([GAME, OTHER]), wanted=st.sampled_from(["up", "idle", "down"]))
    def another_wish(self, game: UUID, wanted: str) -> None:
        self.records[game] = msgspec.structs.replace(self.records[game], wanted=wanted)  # type: ignore[arg-type]

    @rule()
    def a_backup_is_made(self) -> None:
        self.backup = dict(self.records)

    @rule()
    def a_backup_is_restored(self) -> None:
        self.records = dict(self.backup)

    @rule(seconds=st.integers(1, 60))
    def time_passes(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)

    @invariant()
    def no_two_actions_on_one_engine_and_none_on_a_strangers(self) -> None:
        if not hasattr(self, "records"):
            return
        actions = plan(OWNER, self.records.values(), self.engines.values(), self.now)
        removed = [action.handle for action in actions if isinstance(action, Remove)]
        assert len(removed) == len(set(removed))
        strangers = {each.handle for each in self.engines.values() if each.id.owner != OWNER}
        assert not strangers & {getattr(action, "handle", None) for action in actions}
        assert not self.acted_on_strangers

    def teardown(self) -> None:
        """Let the noise stop: it converges, and a converged world has no plan."""
        if not hasattr(self, "records"):
            return
        for _ in range(12):
            self.act()
            self.now += BACK_OFF
        assert plan(OWNER, self.records.values(), self.engines.values(), self.now) == []
        for game, desired in self.records.items():
            running = [each for key, each in self.engines.items() if key[:2] == (OWNER, game)]
            assert [each.state for each in running] == (["running"] if desired.wanted == "up" else [])
            assert [each.id.generation for each in running] == ([desired.generation] if running else [])


World.TestCase.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)
TestWorld = World.TestCase
