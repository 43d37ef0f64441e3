"""Calls are shown as curl lines that a shell can run."""

import shlex
from pathlib import Path

from galaxy_engine.kit.trace import Call, Trace


def call(body: bytes = b"", **changes: object) -> Call:
    values = {
        "engine": "ENGINE",
        "method": "POST",
        "path": "/v1/turns",
        "body": (body,) if body else (),
        "authorized": False,
        "came": "200",
    }
    return Call(**{**values, **changes})  # type: ignore[arg-type]


def test_a_line() -> None:
    """Method, path, token and body, quoted."""
    trace = Trace()
    trace.add(call(b'{"text": "it\'s"}', authorized=True))
    (line,) = trace.curl("K01")
    words = shlex.split(line, comments=True)
    assert words[:5] == ["curl", "-sS", "-X", "POST", "$ENGINE/v1/turns"]
    assert words[5:7] == ["-H", "Authorization: Bearer $GALAXY_TOKEN"]
    assert words[-2:] == ["--data-binary", '{"text": "it\'s"}']
    assert line.endswith("# 200")


def test_large_bodies_go_to_files(tmp_path: Path) -> None:
    """A body that does not fit into a line is written beside it."""
    trace = Trace(tmp_path / "files")
    trace.add(call(b"x" * 10_000))
    words = shlex.split(trace.curl("K01")[0], comments=True)
    assert Path(words[-1].removeprefix("@")).read_bytes() == b"x" * 10_000


def test_without_files_large_bodies_are_cut() -> None:
    """Where nothing may be written, the line says how large the body was."""
    trace = Trace()
    trace.add(call(b"x" * 10_000))
    assert "(10000 bytes)" in trace.curl("K01")[0]


def test_long_traces_are_cut() -> None:
    """The last calls are shown, and how many came before them."""
    trace = Trace()
    for number in range(100):
        trace.add(call(str(number).encode()))
    lines = trace.curl("K01")
    assert lines[0] == "# 40 earlier calls are left out"
    assert len(lines) == 61


def test_a_new_experiment() -> None:
    """What was done before does not belong to it."""
    trace = Trace()
    trace.add(call(b"1"))
    trace.restart()
    trace.add(call(b"2"))
    assert len(trace.curl("K01")) == 1
