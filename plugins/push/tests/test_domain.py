"""Events and cursors, and their rules."""

import math
from typing import Any
from uuid import uuid4

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from galaxy_contracts.push import PushEvent
from galaxy_push.domain import MAX_CURSOR, MAX_PAYLOAD, Cursor, Standing, check_gateway_id, draft, parse_cursor


def event(**fields: Any) -> PushEvent:
    return PushEvent(**{"kind": "test.happened", "account_id": uuid4(), **fields})


def test_a_draft_keeps_what_was_given() -> None:
    """A draft has the event's fields, the payload as JSON, and the current request id unless it has its own."""
    given = event(payload={"game_id": uuid4(), "turn": 3}, key=uuid4())
    made = draft(given, "request-0001")
    assert (made.key, made.account_id, made.session_id) == (given.key, given.account_id, None)
    assert msgspec.json.decode(made.payload) == {"game_id": str(given.payload["game_id"]), "turn": 3}
    assert made.request_id == "request-0001"
    assert draft(event(request_id="request-0002"), "request-0001").request_id == "request-0002"


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"account_id": None}, "one target"),
        ({"session_id": uuid4()}, "one target"),
        ({"kind": "happened"}, "kind"),
        ({"kind": "test.happened\nid: 7"}, "kind"),
        ({"kind": ""}, "kind"),
        ({"payload": {"what": object()}}, "not JSON"),
        ({"payload": {"what": "\ud800"}}, "not JSON"),
        ({"payload": ["a list"]}, "JSON object"),
        ({"payload": {"text": "x" * MAX_PAYLOAD}}, "65,547 bytes of at most 65,536"),
    ],
)
def test_a_faulty_event_is_refused(fields: dict[str, Any], sentence: str) -> None:
    """An event that no gateway could pass on is refused with a sentence that names it."""
    with pytest.raises(ValueError, match=sentence) as raised:
        draft(event(**fields), "request-0001")
    assert str(raised.value).startswith("push event ")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats() | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner),
    max_leaves=8,
)


@given(st.dictionaries(st.text(st.characters(codec="utf-8")), JSON))
def test_payloads_survive(payload: dict[str, Any]) -> None:
    """JSON is kept as given, without line breaks or NUL; numbers that JSON does not have become null."""

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: plain(each) for key, each in value.items()}
        if isinstance(value, list):
            return [plain(each) for each in value]
        return None if isinstance(value, float) and not math.isfinite(value) else value

    encoded = draft(event(payload=payload), "request-0001").payload
    assert msgspec.json.decode(encoded) == plain(payload)
    assert not {"\n", "\r", "\0"} & set(encoded)


GENERATION = st.from_regex(r"[0-9a-f]{12}", fullmatch=True)


@given(GENERATION, st.integers(0, MAX_CURSOR))
def test_cursors_survive(generation: str, number: int) -> None:
    """A cursor is `<generation>-<number>`."""
    cursor = Cursor(generation, number)
    assert parse_cursor(f"{generation}-{number}", field="cursor") == cursor
    assert str(cursor) == f"{generation}-{number}"


@given(st.text(max_size=35) | st.from_regex(r"([0-9a-f]{11,13}-)?[0-9]{1,20}", fullmatch=True))
def test_any_cursor_is_read_or_refused(cursor: str) -> None:
    """A cursor is one that the database can have, or a plain number, or empty, or refused with the field's name."""
    try:
        parsed = parse_cursor(cursor, field="after")
    except ValueError as fault:
        assert str(fault).startswith("after: ")
    else:
        assert cursor == ("" if parsed is None else str(parsed).removeprefix("-"))


def test_a_plain_number_is_of_no_generation() -> None:
    """A cursor of the time before generations is well formed, and good for no stream."""
    cursor = parse_cursor("15", field="cursor")
    assert cursor is not None
    standing = Standing(generation="0123456789ab", last_seq=20, trimmed_seq=10)
    assert not standing.has_all_after(cursor)
    assert not standing.was_set_back(Cursor("", 21))


@given(st.text(max_size=70))
def test_any_gateway_id_is_fit_for_a_log_line_or_refused(gateway_id: str) -> None:
    """A name of a gateway is short, printable ASCII."""
    try:
        check_gateway_id(gateway_id)
    except ValueError as fault:
        assert str(fault).startswith("gateway_id: ")
    else:
        assert gateway_id.isascii() and gateway_id.isprintable() and 1 <= len(gateway_id) <= 64


def test_a_cursor_is_whole_between_what_was_trimmed_and_the_end() -> None:
    """From the last trimmed number to the last assigned one a stream can continue; outside it cannot."""
    standing = Standing(generation="0123456789ab", last_seq=20, trimmed_seq=10)
    cursors = [Cursor("0123456789ab", number) for number in (9, 10, 20, 21)]
    assert [standing.has_all_after(cursor) for cursor in cursors] == [False, True, True, False]
    assert [standing.was_set_back(cursor) for cursor in cursors] == [False, False, False, True]


@given(GENERATION, GENERATION, st.integers(0, 30))
def test_a_cursor_of_another_generation_is_never_whole(own: str, other: str, number: int) -> None:
    """Whatever its number, a cursor of another generation misses events, and is not taken for a sign of a restore."""
    standing = Standing(generation=own, last_seq=20, trimmed_seq=10)
    if other != own:
        assert not standing.has_all_after(Cursor(other, number))
        assert not standing.was_set_back(Cursor(other, number))
