"""The parser of event streams."""

import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from galaxy_client.sse import LARGEST_MESSAGE, Message, OversizeError, Parser

LINES = st.one_of(
    st.sampled_from(["", "data", "data:", "event: x", "id: 7", "id", "retry: 10", ": comment", "data: a", "data:  b"]),
    st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]), max_size=12),
    st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]), max_size=12).map("data:{}".format),
    st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]), max_size=6).map("id:{}".format),
)
STREAMS = st.tuples(st.booleans(), st.lists(st.tuples(LINES, st.sampled_from(["\n", "\r", "\r\n"])), max_size=20)).map(
    lambda drawn: ("\ufeff" if drawn[0] else "") + "".join(line + end for line, end in drawn[1])
)


def reference(text: str) -> tuple[list[Message], str | None]:
    """Return the messages of a whole stream and its cursor, after the standard's text and not after the parser."""
    lines = re.split(r"\r\n|\n|\r", text.removeprefix("\ufeff"))[:-1]
    found, data, event, last, cursor = [], "", "", None, None
    for line in lines:
        if line == "":
            if data or event:
                found.append(Message(last, event or "message", data.removesuffix("\n")))
            data, event, cursor = "", "", last
        elif not line.startswith(":"):
            name, value = line.split(":", 1) if ":" in line else (line, "")
            value = value[1:] if value.startswith(" ") else value
            if name == "data":
                data += value + "\n"
            elif name == "event":
                event = value
            elif name == "id" and "\0" not in value:
                last = value
    return found, cursor


@given(STREAMS, st.data())
def test_any_split(text: str, data: st.DataObject) -> None:
    """However a stream's bytes are split, its messages are those of the standard."""
    content = text.encode()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(content)), max_size=12)))
    parser = Parser()
    edges = [0, *cuts, len(content)]
    found = [message for start, end in pairwise(edges) for message in parser.feed(content[start:end])]
    assert (found, parser.last_id) == reference(text)


@given(STREAMS)
def test_byte_by_byte(text: str) -> None:
    """Each byte alone makes the same messages, each as soon as its last line has ended."""
    parser = Parser()
    found = [message for byte in text.encode() for message in parser.feed(bytes([byte]))]
    assert (found, parser.last_id) == reference(text)


@given(st.lists(st.binary(max_size=40), max_size=10))
def test_no_bytes_break_it(pieces: list[bytes]) -> None:
    """Bytes that are not UTF-8 are replaced, wherever they are split."""
    whole, split = Parser(), Parser()
    assert whole.feed(b"".join(pieces)) == [message for piece in pieces for message in split.feed(piece)]


def test_a_message_does_not_wait_for_the_next_line() -> None:
    """A message whose empty line ends in CR is complete: the LF that may follow belongs to that line."""
    parser = Parser()
    assert parser.feed(b"id: 1\r\nevent: a\r\ndata: {}\r\n\r") == [Message("1", "a", "{}")]
    assert parser.feed(b"\ndata: x\n\n") == [Message("1", "message", "x")]


def test_ids_without_a_message() -> None:
    """A block with an id alone moves the cursor once it has ended, and not before."""
    parser = Parser()
    assert parser.feed(b"retry: 3000\nid: g-4\n") == []
    assert parser.last_id is None
    assert parser.feed(b"\n:\nid: g-5\n\nid: g-6\ndata: {") == []
    assert parser.last_id == "g-5"


def test_a_type_without_data() -> None:
    """`event: resync` is a message although the standard drops those without data."""
    assert Parser().feed(b"event: resync\n\n") == [Message(None, "resync", "")]


@pytest.mark.parametrize(("line", "seconds"), [("3000", 3.0), ("0", 0.0), ("-1", None), ("1e3", None), ("", None)])
def test_retry(line: str, seconds: float | None) -> None:
    """The time for reconnecting is digits, in milliseconds; anything else is passed over."""
    parser = Parser()
    parser.feed(f"retry: {line}\n".encode())
    assert parser.retry == seconds


def test_memory_is_bounded() -> None:
    """A message or line without an end is refused; any number of whole messages is not."""
    endless = Parser()
    with pytest.raises(OversizeError):
        for _ in range(LARGEST_MESSAGE // 1000 + 2):
            endless.feed(b"data: " + b"x" * 1000 + b"\n")
    lines = Parser()
    with pytest.raises(OversizeError):
        lines.feed(b":" + b"x" * (LARGEST_MESSAGE + 1))
    many = Parser()
    count = sum(len(many.feed(b"data: " + b"x" * 1000 + b"\n\n")) for _ in range(LARGEST_MESSAGE // 1000 + 100))
    assert count == LARGEST_MESSAGE // 1000 + 100
