"""Rendering one line: JSON for machines, short lines for people, and no value that breaks either."""

import json
import logging
import os
import pty
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from galaxy_chassis.logs import (
    configure_logging,
    get_logger,
    scrub_text,
)
from galaxy_chassis.logs.render import fields_of, render_json
from galaxy_chassis.request_context import request_context


def rendered(**fields: Any) -> dict[str, Any]:
    """Render one line and read it."""
    line: dict[str, Any] = json.loads(render_json("info", dict(fields)))
    return line


@settings(deadline=None, max_examples=60)  # other load on the machine is not a failure
@given(st.text(), st.dictionaries(st.text(max_size=8), st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.uuids() | st.datetimes(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)))  # fmt: skip
def test_whatever_is_logged_is_one_line_of_json(event: str, fields: dict[str, Any]) -> None:
    """Any values make exactly one line of valid JSON with the event in it or scrubbed."""
    fields.pop("exc_info", None)
    encoded = render_json("info", {**fields, "event": event})
    assert encoded.count(b"\n") == 1
    assert encoded.endswith(b"\n")
    line = json.loads(encoded)
    assert line["event"] == scrub_text(event)


def test_what_cannot_be_rendered_does_not_raise() -> None:
    """Lone surrogates, huge integers, cycles and objects that fail to print still make a line."""

    class Broken:
        def __str__(self) -> str:
            raise RuntimeError("no")

    cycle: list[Any] = []
    cycle.append(cycle)
    assert rendered(event="\ud800")["event"]
    assert rendered(event="e", n=2**80)["n"] == 2**80
    assert rendered(event="e", cycle=cycle)["event"] == "e"
    assert "RuntimeError" in rendered(event="e", value=Broken())["event"]
    assert rendered(event="e", id=uuid.UUID(int=5))["id"] == str(uuid.UUID(int=5))


def test_a_bad_format_of_the_standard_library_does_not_raise() -> None:
    """A message that does not fit its arguments is logged as it is, its arguments beside it and scrubbed."""
    record = logging.makeLogRecord({"name": "x", "msg": "%d mails", "args": ("ann@example.org",)})
    line = rendered(**fields_of(record))
    assert line["event"] == "%d mails"
    assert line["arguments"][0].startswith("email:")


def test_pretty_lines_are_short(make_log: Callable[..., Any]) -> None:
    """`pretty` writes one readable line without trace ids or empty fields, scrubbed, uncoloured off a terminal."""
    log = make_log(pretty=True)
    with request_context("mail", "request-1"):
        get_logger("galaxy_mail").info("sent", to="ann@example.org", attempt=1)
    assert log.text.count("\n") == 1
    assert "\x1b" not in log.text
    assert "otel" not in log.text
    assert "ann@" not in log.text
    for part in ("sent", "attempt=1", "request-1", "mail", "email:"):
        assert part in log.text


@pytest.mark.parametrize("no_color", ["", "1"])
def test_pretty_lines_are_coloured_on_a_terminal(no_color: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal lines are coloured, unless NO_COLOR is set."""
    monkeypatch.setenv("NO_COLOR", no_color)
    controller, terminal = pty.openpty()
    with os.fdopen(terminal, "w") as stream:
        logging_ = configure_logging(stream=stream, pretty=True)
        get_logger("x").warning("seen")
        text = os.read(controller, 65536).decode()
        logging_.close()
    os.close(controller)
    assert "seen" in text
    assert ("\x1b[" in text) == (not no_color)
