"""The types that fields of settings have, and what each says of a value that it cannot read."""

from datetime import timedelta
from ipaddress import ip_network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from galaxy_chassis.config.loading import describe
from galaxy_chassis.config.settings import (
    Duration,
    ListenAddress,
    Names,
    Networks,
    RequiredBy,
    Settings,
    format_duration,
    parse_duration,
    split_address,
)


class Group(Settings):
    """Settings of a test."""

    wait: Duration = timedelta(seconds=90)
    """How long."""
    size: int = 3
    """How many."""


def read(kind: Any, text: str) -> Any:
    return TypeAdapter(kind).validate_python(text)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("500ms", 0.5), ("2s", 2), ("1.5m", 90), ("1h", 3600), ("30d", 2_592_000), (" 7s ", 7), ("0s", 0)],
)
def test_durations(text: str, seconds: float) -> None:
    """A number and a unit, with space around them."""
    assert read(Duration, text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "5", "s", "-1s", "1 s", "1w", "1h30m", "1e3s"])
def test_what_is_no_duration_says_what_was_expected(text: str) -> None:
    """A bare number is none: seconds and milliseconds are mixed up too easily."""
    with pytest.raises(ValidationError, match="expected a duration such as 500ms"):
        read(Duration, text)


@pytest.mark.parametrize("text", ["9999999999d", f"{'9' * 400}s"])
def test_durations_have_an_end(text: str) -> None:
    """One that no clock can hold is a fault like any other."""
    with pytest.raises(ValidationError, match="too long a duration"):
        read(Duration, text)


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0s"), (0.001, "1ms"), (1.5, "1500ms"), (60, "1m"), (90, "90s"), (86400, "1d")]
)
def test_durations_are_written_in_the_largest_unit_that_keeps_them_whole(seconds: float, text: str) -> None:
    """A person reads them as they would write them."""
    assert format_duration(timedelta(seconds=seconds)) == text


@given(st.integers(1, 10**9).map(lambda milliseconds: timedelta(milliseconds=milliseconds)))
def test_durations_read_as_they_are_written(value: timedelta) -> None:
    """What `backend config` prints can be read back."""
    assert parse_duration(format_duration(value)) == value


@given(st.text(max_size=12))
def test_any_text_is_a_duration_or_a_clear_fault(text: str) -> None:
    """No text crashes the parser."""
    try:
        assert isinstance(parse_duration(text), timedelta)
    except ValueError as error:
        assert "expected a duration" in str(error)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:8080", "127.0.0.1:8080"),
        (":8080", "0.0.0.0:8080"),
        ("[::1]:0", "[::1]:0"),
        ("localhost:65535", "localhost:65535"),
    ],
)
def test_listen_addresses(text: str, address: str) -> None:
    """Without a host it is every interface."""
    assert read(ListenAddress, text) == address


@pytest.mark.parametrize("text", ["", "8080", "host:", "host:port", "host:65536", "host:-1", "host:²"])
def test_what_is_no_listen_address(text: str) -> None:
    """The fault shows an example."""
    with pytest.raises(ValidationError, match="expected HOST:PORT"):
        read(ListenAddress, text)


@pytest.mark.parametrize(
    ("address", "parts"), [("127.0.0.1:80", ("127.0.0.1", 80)), ("[::1]:80", ("::1", 80)), (":80", ("", 80))]
)
def test_an_address_is_split_as_sockets_take_it(address: str, parts: tuple[str, int]) -> None:
    """An IPv6 address loses its brackets."""
    assert split_address(address) == parts


@pytest.mark.parametrize(("text", "names"), [("", ()), ("geo", ("geo",)), (" geo ,, push,", ("geo", "push"))])
def test_names(text: str, names: tuple[str, ...]) -> None:
    """Spaces and empty parts are nothing."""
    assert read(Names, text) == names


def test_networks() -> None:
    """An address is the network of itself alone."""
    expected = tuple(ip_network(each) for each in ("10.0.0.0/8", "192.0.2.1/32", "::1/128"))
    assert read(Networks, "10.0.0.0/8, 192.0.2.1,::1") == expected


@pytest.mark.parametrize("text", ["10.0.0.0/33", "10.0.0.1/8", "here", "10.0.0.0-10.0.0.9"])
def test_what_is_no_network(text: str) -> None:
    """One with bits behind the mask is a mistake too: which network is meant cannot be told."""
    with pytest.raises(ValidationError, match="CIDR notation"):
        read(Networks, text)


def test_a_group_is_frozen_closed_and_keeps_values_out_of_errors() -> None:
    """Nothing changes a setting after the start, and no error shows what might be a secret."""
    group = Group()
    with pytest.raises(ValidationError, match="frozen"):
        group.size = 4  # type: ignore[misc] # that is the fault
    with pytest.raises(ValidationError) as caught:
        Group.model_validate({"size": "hunter2", "sise": "hunter3"})
    assert {error["type"] for error in caught.value.errors()} == {"int_parsing", "extra_forbidden"}
    assert "hunter" not in str(caught.value)


def test_a_group_documents_and_writes_its_fields() -> None:
    """The doc string after a field is its documentation, and durations are written as they are read."""
    assert [variable.doc for variable in describe("demo", Group)] == ["How long.", "How many."]
    assert Group().model_dump(mode="json") == {"wait": "90s", "size": 3}


def test_a_mark_names_the_commands_that_need_the_setting() -> None:
    """It is carried by the field's own schema."""
    assert RequiredBy(("serve", "migrate")).extra == {"required_by": ["serve", "migrate"]}
