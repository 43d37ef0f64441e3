"""An index agrees with its cache, whatever happened to the rows."""

import msgspec
import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from galaxy_kernel.caches.cache import Cache, CacheNotLoadedError
from galaxy_kernel.caches.feed import Change
from galaxy_kernel.caches.rows import encode_key

table = sa.Table("rows", sa.MetaData(), sa.Column("key", sa.Text, primary_key=True), sa.Column("color", sa.Text))


class Row(msgspec.Struct, frozen=True):
    key: str
    color: str | None


def new_cache() -> Cache[str, Row]:
    return Cache(name="test.rows", table=table, row=Row, key=lambda row: row.key, indexes={"color": lambda r: r.color})


KEYS, COLORS = st.sampled_from("abcd"), st.sampled_from([None, "red", "blue"])
CHANGES = st.lists(st.tuples(KEYS, st.none() | COLORS.map(lambda color: (color,))))


@given(loaded=st.dictionaries(KEYS, COLORS), changes=CHANGES)
def test_an_index_finds_what_a_scan_finds(loaded: dict[str, str | None], changes: list[tuple[str, tuple[str]]]) -> None:
    """After a load and any changes each value has the rows that have it, and no others."""
    cache = new_cache()
    cache.finish_load({key: Row(key, color) for key, color in loaded.items()}, {})
    for number, (key, color) in enumerate(changes, start=1):
        payload = None if color is None else msgspec.json.encode(Row(key, color[0])).decode()
        cache.receive(Change(number, cache.name, encode_key(key), payload, ""))
        for value in ("red", "blue"):
            found = sorted(row.key for row in cache.find("color", value))
            assert found == sorted(row.key for row in cache.values() if row.color == value)
    cache.finish_load({"a": Row("a", "red")}, {})
    assert (cache.find("color", "red"), cache.find("color", "blue")) == ([Row("a", "red")], [])


def test_finding_before_the_load() -> None:
    """An index of a cache that was never loaded raises as the cache does, and an unknown one is a KeyError."""
    cache = new_cache()
    with pytest.raises(CacheNotLoadedError):
        cache.find("color", "red")
    cache.finish_load({}, {})
    with pytest.raises(KeyError):
        cache.find("size", "red")
