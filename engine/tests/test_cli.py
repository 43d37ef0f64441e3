"""The command line: what is judged, what is printed, and with which exit status it ends."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from galaxy_engine.cli import app
from galaxy_engine.contract import document

ENGINES = Path(__file__).parent / "engines"
RUNNER = CliRunner()


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """The small engine as an executable."""
    path = tmp_path / "small"
    path.write_text(f"#!{sys.executable}\n{(ENGINES / 'small.py').read_text()}")
    path.chmod(0o755)
    return path


@pytest.fixture
def url(program: Path, unused_tcp_port: int) -> Iterator[str]:
    """The small engine, running."""
    process = subprocess.Popen([program], env={"PORT": str(unused_tcp_port), "PATH": "/usr/bin:/bin"})
    yield f"http://127.0.0.1:{unused_tcp_port}"
    process.kill()
    process.wait()


def test_contract() -> None:
    """The contract is printed as it is."""
    result = RUNNER.invoke(app, ["contract"])
    assert (result.exit_code, result.output) == (0, document())


def test_a_url(url: str) -> None:
    """An engine is taken as it is; what needs a process of the kit's own is skipped, and said."""
    result = RUNNER.invoke(app, ["check", url, "--json", "--time", "5"])
    report = json.loads(result.output)
    skipped = {each["id"]: each["detail"] for each in report["results"] if each["outcome"] == "skipped"}
    assert result.exit_code == 0
    assert report["conforms"]
    assert set(skipped) == {"K02", "K23", "K41", "K42", "K44"}
    assert all(skipped.values())
    assert [each["id"] for each in report["results"]] == [f"K{number:02}" for number in range(1, 45)]


def test_a_path(program: Path) -> None:
    """An executable is started; the first line says which orders were tried."""
    result = RUNNER.invoke(app, ["check", str(program), "--only", "k18", "--only", "K02"])
    lines = result.output.splitlines()
    assert result.exit_code == 0
    assert lines[0].startswith("sets of orders tried: ")
    assert "options" in lines[0]
    assert [line[:3] for line in lines if line.startswith("K")] == ["K02", "K18"]
    assert lines[-1].startswith(f"{program} conforms: 2 passed")


def test_a_fault(program: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A failure says what was done, in lines that can be pasted, what was expected, what came, and the rule."""
    monkeypatch.setenv("FAULT", "random_state")
    result = RUNNER.invoke(app, ["check", str(program), "--only", "K18"])
    assert result.exit_code == 1
    assert "K18 FAILED: turn is deterministic: two answers differ" in result.output
    assert "expected: the same bytes from the same process" in result.output
    assert "came: $.state.log[0] is " in result.output
    assert "rule: Same input, same bytes" in result.output
    assert 'curl -sS -X POST "$ENGINE/v1/turns" -H "Authorization: Bearer $GALAXY_TOKEN"' in result.output


def test_an_engine_that_nobody_runs() -> None:
    """A URL where nothing listens fails K01, and all else is skipped."""
    result = RUNNER.invoke(app, ["check", "http://127.0.0.1:1", "--json"])
    report = json.loads(result.output)
    assert result.exit_code == 1
    assert [each["id"] for each in report["results"] if each["outcome"] == "failed"] == ["K01"]
    assert {each["cause"] for each in report["results"] if each["outcome"] == "skipped"} <= {"K01", ""}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["."], "is a directory"),
        ([__file__], "is a file that is not executable"),
        (["https://127.0.0.1:1"], "http://HOST:PORT"),
        (["http://127.0.0.1:1/path"], "http://HOST:PORT"),
        (["http://127.0.0.1:1", "--only", "K99"], "there is no check K99"),
        (["http://127.0.0.1:1", "--orders", "/nonexistent"], "No such file"),
        (["http://127.0.0.1:1", "--orders", __file__], "not a JSON array of sets or openings"),
        ([], "Missing argument"),
    ],
)
def test_usage(arguments: list[str], said: str) -> None:
    """What cannot be understood is said, with exit status 2."""
    result = RUNNER.invoke(app, ["check", *arguments])
    assert result.exit_code == 2
    assert said in result.output


def test_orders_of_the_users(program: Path, tmp_path: Path) -> None:
    """Sets and openings of a file are tried before all others."""
    file = tmp_path / "orders.json"
    turn = {str(seat): [{"order": "grow"}, {"order": "grow"}] for seat in range(1, 5)}
    opening = {"seats": 4, "options": {"bonus": 5}, "turns": [turn, turn]}
    file.write_text(json.dumps([[{"order": "say", "text": "mine"}], opening, []]))
    arguments = ["check", str(program), "--orders", str(file), "--only", "K18", "--only", "K05", "--json"]
    report = json.loads(RUNNER.invoke(app, arguments).output)
    assert report["accepted"]["file"] > 0
    assert report["accepted"]["examples"] > 0
    assert '{"bonus": 5}' in report["results"][0]["detail"]


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_stopped(program: Path, sent: signal.Signals) -> None:
    """Stopped in the middle, it removes what it started."""
    marker = f"mark-{os.getpid()}-{sent}"
    environment = {**os.environ, "FAULT": "never_ends", "MARKER": marker}
    arguments = [sys.executable, "-m", "galaxy_engine.cli", "check", str(program), "--only", "K32", "--time", "1000"]
    process = subprocess.Popen(arguments, env=environment, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    try:
        wait_for(lambda: processes(marker, engines=True))
        process.send_signal(sent)
        _, said = process.communicate(timeout=60)
    finally:
        if process.returncode is None:
            process.kill()
            process.communicate()
    assert process.returncode == 130
    assert "what it started is removed" in said
    assert processes(marker) == []


def processes(marker: str, engines: bool = False) -> list[int]:
    """Return the processes that have the marker in their environment, all or those that are engines."""
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            arguments = path.with_name("cmdline").read_bytes().split(b"\0")
            is_engine = len(arguments) > 1 and arguments[1].endswith(b"/small")
            if f"MARKER={marker}".encode() in path.read_bytes().split(b"\0") and (is_engine or not engines):
                found.append(int(path.parent.name))
        except OSError:
            continue
    return found


def wait_for(condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)
