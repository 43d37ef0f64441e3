"""Answers are measured before they are parsed, and parsed off the event loop when they are large."""

import asyncio
import json
import threading
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from galaxy_engine import decoding, limits
from galaxy_engine.decoding import MalformedError, check_shape, decode, parse

ANYTHING = msgspec.json.Decoder(msgspec.Raw)

TEXTS = st.text(st.sampled_from('ab[]{},:"\\é€😀\n'), max_size=8)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=30,
)


def measure(value: Any) -> tuple[int, int]:
    """Return how deep a value is, and how many values and commas' worth of them it has."""
    if isinstance(value, dict):
        value = list(value.values())
    if not isinstance(value, list):
        return 0, 1
    parts = [measure(item) for item in value]
    empty = 0 if parts else 1  # an opening bracket counts for a first value, there or not
    return 1 + max((depth for depth, _ in parts), default=0), 1 + sum(count for _, count in parts) + empty


def refused(text: bytes, depth: int, members: int) -> bool:
    try:
        check_shape(text, depth, members)
    except MalformedError:
        return True
    return False


@given(VALUES, st.booleans(), st.sampled_from([5, 8, 64, 65536]))
def test_depth_and_values_are_exact(value: Any, ascii_only: bool, piece: int) -> None:
    """Whatever stands in strings, and wherever a piece ends."""
    text = json.dumps(value, ensure_ascii=ascii_only).encode()
    depth, count = measure(value)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decoding, "_PIECE", piece)
        assert not refused(text, depth, limits.MEMBERS)
        assert depth == 0 or refused(text, depth - 1, limits.MEMBERS)
        assert not refused(text, 100, count)
        assert refused(text, 100, min(count - 1, len(text) // 2))


@pytest.mark.parametrize("text", [b'"\xff"', b'"\xc3', b'"' + b"a" * 70_000 + b'\xe2\x82"', b'{"\xed\xa0\x80":1}'])
def test_other_encodings_are_refused(text: bytes) -> None:
    """A text that is not UTF-8 is malformed, also where nobody looks at the value."""
    with pytest.raises(MalformedError, match="UTF-8"):
        check_shape(text, limits.DEPTH, limits.MEMBERS)


@pytest.mark.parametrize("count", [200, 100_000, 8_000_000])
def test_deep_nesting_is_refused(count: int) -> None:
    """However deep, it is one exception."""
    with pytest.raises(MalformedError, match="nested more than 128 deep"):
        decode(b"[" * count, ANYTHING)


def test_too_many_values_are_refused() -> None:
    """The number of values is limited before any is built."""
    with pytest.raises(MalformedError, match="more than 200000 values"):
        decode(b"[" + b"1," * 200_001 + b"1]", ANYTHING)


@pytest.mark.parametrize("text", [b"", b"{", b"nul", b"[1,]", b'{"a":01}', b'"\\x"', b"NaN", b"[1] 2"])
def test_broken_json_is_refused(text: bytes) -> None:
    """Also in what is passed on without a look inside."""
    with pytest.raises(MalformedError):
        decode(text, ANYTHING)


async def test_large_answers_are_parsed_in_a_thread() -> None:
    """The event loop goes on while a large answer is looked at."""
    threads = []

    class Decoder:
        def decode(self, body: bytes) -> int:
            threads.append(threading.current_thread())
            return len(body)

    small, large = b"1" * limits.INLINE_BYTES, b"1" * (limits.INLINE_BYTES + 1)
    assert await parse(small, Decoder()) == len(small)  # type: ignore[arg-type]
    assert await parse(large, Decoder()) == len(large)  # type: ignore[arg-type]
    assert threads[0] is threading.main_thread()
    assert threads[1] is not threading.main_thread()


async def test_a_raw_member_is_a_view() -> None:
    """A large state is not copied out of the answer it came in."""
    body = bytearray(b'{"turn":1,"state":"' + b"x" * 1_000_000 + b'","reports":{}}')
    from galaxy_engine.messages import Position

    position = await parse(body, msgspec.json.Decoder(Position), limits.POSITION_MEMBERS)
    with pytest.raises(BufferError):
        body.append(0)  # something looks at these bytes
    assert len(memoryview(position.state)) == 1_000_002
    assert asyncio.get_running_loop()
