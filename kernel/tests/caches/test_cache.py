"""One cache's memory, whatever the order in which its changes and loads arrive."""

from collections.abc import Callable

import msgspec
import pytest
import sqlalchemy as sa
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from galaxy_kernel.caches.cache import Cache, CacheNotLoadedError
from galaxy_kernel.caches.feed import Change
from galaxy_kernel.caches.rows import encode_key

table = sa.Table(
    "rows", sa.MetaData(), sa.Column("key", sa.Text, primary_key=True), sa.Column("version", sa.BigInteger)
)


class Row(msgspec.Struct, frozen=True):
    key: str
    version: int


def new_cache() -> Cache[str, Row]:
    return Cache(name="test.rows", table=table, row=Row, key=lambda row: row.key)


def test_reading_before_the_load() -> None:
    """Reading a cache that was never loaded says which, and what to do."""
    cache = new_cache()
    readings: list[Callable[[], object]] = [lambda: cache.get("a"), cache.values, lambda: len(cache)]
    for reading in readings:
        with pytest.raises(CacheNotLoadedError, match="'test.rows' was read before it was loaded: return it from"):
            reading()
    cache.finish_load({}, {})
    assert (cache.get("a"), cache.values(), len(cache)) == (None, [], 0)


def test_values_do_not_change_under_the_reader() -> None:
    """A result of `values` does not change with the cache."""
    cache = new_cache()
    cache.finish_load({"a": Row("a", 1)}, {})
    values = cache.values()
    cache.receive(Change(1, cache.name, encode_key("b"), '{"key":"b","version":1}', ""))
    assert (values, len(cache)) == ([Row("a", 1)], 2)


def test_an_unreadable_change_is_refused() -> None:
    """A row that cannot be decoded raises, and leaves memory as it was."""
    cache = new_cache()
    cache.finish_load({"a": Row("a", 1)}, {})
    with pytest.raises(msgspec.ValidationError):
        cache.receive(Change(1, cache.name, encode_key("a"), '{"key":"a"}', ""))
    assert cache.get("a") == Row("a", 1)
    cache.receive(Change(1, cache.name, encode_key("a"), '{"key":"a","version":2,"of_later_release":1}', ""))
    assert cache.get("a") == Row("a", 2)


def test_old_versions_are_forgotten() -> None:
    """A version is kept for at least one interval, so that memory of deleted keys does not grow for ever."""
    cache = new_cache()
    cache.finish_load({}, {})
    cache.receive(Change(1, cache.name, encode_key("a"), None, ""))
    cache.forget_old_versions()
    assert cache._versions == {"a": 1}
    cache.receive(Change(2, cache.name, encode_key("b"), None, ""))
    cache.forget_old_versions()
    assert cache._versions == {"b": 2}
    cache.forget_old_versions()
    assert cache._versions == {}


def test_own_changes_are_recognised_and_forgotten() -> None:
    """One that comes back is passed over unread; none is kept that came before its commit was known, or was erased."""
    cache = new_cache()
    cache.finish_load({}, {})
    cache._committed([(1, "a", Row("a", 1))])
    cache.receive(Change(1, cache.name, encode_key("a"), "unreadable", ""))
    cache.receive(Change(2, cache.name, encode_key("a"), '{"key":"a","version":2}', ""))
    cache._committed([(2, "a", Row("a", 2))])
    assert (cache.values(), cache._own) == ([Row("a", 2)], set())
    cache._committed([(3, "b", Row("b", 1))])
    cache._committed([(4, "b", None)])  # which erases the one before from the feed
    cache.receive(Change(4, cache.name, encode_key("b"), None, ""))
    cache.forget_old_versions()
    assert (cache.values(), cache._own) == ([Row("a", 2)], set())


def test_a_load_keeps_its_versions_for_an_interval() -> None:
    """Also where they are lower than those before it, as after a fail-over: older changes stay without effect."""
    cache = new_cache()
    cache.finish_load({}, {})
    cache.receive(Change(5, cache.name, encode_key("a"), None, ""))
    cache.forget_old_versions()
    cache.begin_load()
    cache.finish_load({}, {encode_key("b"): 3})
    cache.forget_old_versions()
    cache.receive(Change(2, cache.name, encode_key("b"), '{"key":"b","version":1}', ""))
    assert cache.values() == []


def test_after_a_load_that_was_abandoned_changes_are_not_kept() -> None:
    """A change that was seen already is passed over unread, as before that load."""
    cache = new_cache()
    cache.finish_load({}, {})
    cache.begin_load()
    cache.abandon_load()
    cache.receive(Change(1, cache.name, encode_key("a"), '{"key":"a","version":1}', ""))
    cache.receive(Change(1, cache.name, encode_key("a"), "unreadable", ""))
    assert cache.values() == [Row("a", 1)]


class Coherence(RuleBasedStateMachine):
    """A table with its feed, and one replica's memory: its own writes at once, the others' by the feed, loads whenever.

    The feed is read in the order of commits here, which need not be that of ids across keys. A crash of the server
    may lose the latest commits, ids included, as a fail-over to a replica that lags does.
    """

    def __init__(self) -> None:
        super().__init__()
        self.cache = new_cache()
        self.cache.finish_load({}, {})
        self.next_id = 1
        self.version = 0
        self.table: dict[str, Row] = {}
        self.history: list[tuple[Change, dict[str, Row]]] = []
        self.cursor = 0
        self.seen: dict[str, int] = {}
        self.gone: dict[str, int] = {}
        self.unapplied: list[Change] = []
        self.snapshot: tuple[int, dict[str, Row]] | None = None

    def commit(self, key: str, drop: bool) -> Change:
        self.version += 1
        row = None if drop else Row(key, self.version)
        if row is None:
            self.table.pop(key, None)
        else:
            self.table[key] = row
        payload = None if row is None else msgspec.json.encode(row).decode()
        change = Change(self.next_id, self.cache.name, encode_key(key), payload, "")
        self.next_id += 1
        self.history.append((change, dict(self.table)))
        return change

    @rule(key=st.sampled_from("abc"), drop=st.booleans())
    def others_write(self, key: str, drop: bool) -> None:
        self.commit(key, drop)

    @rule(key=st.sampled_from("abc"), drop=st.booleans())
    def we_write(self, key: str, drop: bool) -> None:
        self.apply(self.commit(key, drop))

    @rule(key=st.sampled_from("abc"), drop=st.booleans())
    def we_write_and_hear_of_the_commit_late(self, key: str, drop: bool) -> None:
        self.unapplied.append(self.commit(key, drop))

    @precondition(lambda self: self.unapplied)
    @rule()
    def we_hear(self) -> None:
        self.apply(self.unapplied.pop(0))

    def apply(self, change: Change) -> None:
        key = change.key.removeprefix("s:")
        row = None if change.payload is None else msgspec.json.decode(change.payload, type=Row)
        self.cache._committed([(change.id, key, row)])

    @rule(data=st.data())
    def look_at_the_feed(self, data: st.DataObject) -> None:
        until = data.draw(st.integers(self.cursor, len(self.history)))
        for change, _ in self.history[self.cursor : until]:
            self.cache.receive(change)
        self.cursor = until

    @precondition(lambda self: self.snapshot is None)
    @rule()
    def load_begins(self) -> None:
        self.cache.begin_load()
        self.snapshot = len(self.history), dict(self.table)

    @precondition(lambda self: self.snapshot is not None)
    @rule()
    def load_ends(self) -> None:
        assert self.snapshot is not None
        self.cursor, rows = self.snapshot
        versions = {change.key: change.id for change, _ in self.history[: self.cursor]}
        self.cache.finish_load(rows, versions)
        self.snapshot = None

    @precondition(lambda self: self.snapshot is not None)
    @rule()
    def load_fails(self) -> None:
        self.cache.abandon_load()
        self.snapshot = None

    @precondition(lambda self: self.snapshot is None and not self.unapplied)
    @rule(lost=st.integers(1, 3))
    def fail_over(self, lost: int) -> None:
        del self.history[max(0, len(self.history) - lost) :]
        self.table = dict(self.history[-1][1]) if self.history else {}
        self.next_id = self.history[-1][0].id + 1 if self.history else 1
        self.seen, self.gone = {}, {}  # memory may go back now, and only now
        self.cursor = len(self.history)
        self.load_begins()
        self.load_ends()
        assert {row.key: row for row in self.cache.values()} == self.table

    @invariant()
    def never_a_step_back(self) -> None:
        for key in "abc":
            row = self.cache.get(key)
            if row is not None:
                assert row.version >= self.seen.get(key, 0)
                assert row.version > self.gone.get(key, 0), "a row that was gone is back as it was"
                self.seen[key] = row.version
            elif key in self.seen:
                self.gone[key] = self.seen[key]

    def teardown(self) -> None:
        for change, _ in self.history[self.cursor :]:
            self.cache.receive(change)
        for change in self.unapplied:
            self.apply(change)
        self.never_a_step_back()
        assert {row.key: row for row in self.cache.values()} == self.table


TestCoherence = Coherence.TestCase
TestCoherence.settings = settings(max_examples=75, stateful_step_count=40, deadline=None)
