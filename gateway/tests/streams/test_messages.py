"""The bytes that clients receive, against independent readers."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from galaxy_gateway.streams.messages import one_line, server_sent, websocket_close, websocket_text

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


def event_of(data: bytes) -> dict[str, str]:
    """Read one server-sent event as WHATWG HTML 9.2.6 says, for the fields used here."""
    assert data.endswith(b"\n\n")
    fields: dict[str, str] = {}
    for line in data.decode().replace("\r\n", "\n").replace("\r", "\n").split("\n")[:-2]:
        name, _, value = line.partition(":")
        assert name not in fields
        fields[name] = value.removeprefix(" ")
    return fields


@given(payload=JSON, indent=st.none() | st.integers(0, 2))
def test_a_payload_arrives_unchanged(payload: object, indent: int | None) -> None:
    """Whatever JSON the payload is, with or without line breaks, both formats carry it in one piece."""
    line = one_line(json.dumps({"payload": payload}, indent=indent, ensure_ascii=False))
    event = event_of(server_sent("g-1", "a.b", line))
    assert (event["id"], event["event"], json.loads(event["data"])) == ("g-1", "a.b", {"payload": payload})


@pytest.mark.parametrize("length", [0, 60, 90, 91, 92, 125, 126, 127, 65_000, 65_500, 65_536, 70_000])
def test_a_frame_has_the_length_of_its_text(length: int) -> None:
    """Lengths of 7, 16 and 64 bits are written as RFC 6455, 5.2, says, and nothing is masked."""
    frame = websocket_text("g-1", "a.b", json.dumps({"fill": "x" * length}))
    assert frame[0] == 0x81
    if frame[1] < 126:
        size, rest = frame[1], frame[2:]
    elif frame[1] == 126:
        size, rest = int.from_bytes(frame[2:4], "big"), frame[4:]
        assert size >= 126
    else:
        assert frame[1] == 127
        size, rest = int.from_bytes(frame[2:10], "big"), frame[10:]
        assert size >= 65536
    assert len(rest) == size
    assert json.loads(rest) == {"id": "g-1", "event": "a.b", "data": {"fill": "x" * length}}


def test_a_close_frame_has_code_and_reason() -> None:
    """The code is two bytes, the reason text after it."""
    assert websocket_close(1001, "going away") == b"\x88\x0c\x03\xe9going away"
