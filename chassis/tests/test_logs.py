"""Log lines: their shape, what is removed from them, and how they are written."""

import asyncio
import io
import json
import logging
import os
import pty
import signal
import subprocess
import sys
import threading
import time
import uuid
import warnings
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import IO, Any

import pytest
import structlog
from hypothesis import given, settings
from hypothesis import strategies as st

from galaxy_chassis.logs import (
    Logging,
    configure_logging,
    email_hash,
    get_logger,
    log_request,
    loop_exception_handler,
    scrub_text,
    writer,
)
from galaxy_chassis.logs.render import fields_of, render_json
from galaxy_chassis.request_context import RequestContext, current_request, request_context


class Log:
    """The process's logging, written to memory."""

    def __init__(self, level: str = "info", **options: Any) -> None:
        self.stream = io.StringIO()
        self.logging: Logging = configure_logging(level, stream=self.stream, **options)

    @property
    def text(self) -> str:
        self.logging.flush()
        return self.stream.getvalue()

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.text.splitlines()]


@pytest.fixture
def log() -> Iterator[Log]:
    """Configure logging to memory."""
    made = Log()
    yield made
    made.logging.close()


def rendered(**fields: Any) -> dict[str, Any]:
    """Render one line and read it."""
    line: dict[str, Any] = json.loads(render_json("info", dict(fields)))
    return line


# Shape


def test_a_line_is_json_with_time_level_event_and_logger(log: Log) -> None:
    """A line has an RFC 3339 time in UTC, level, event, logger and the event's fields."""
    before = datetime.now(UTC)
    get_logger("galaxy_mail", plugin="mail").info("sent", attempt=2, ratio=0.5, ok=True, nothing=None)
    (line,) = log.lines
    assert before <= datetime.fromisoformat(line.pop("timestamp")) <= datetime.now(UTC)
    assert line == {
        "level": "info", "event": "sent", "logger": "galaxy_mail", "plugin": "mail",
        "request_id": "", "otel_trace_id": "", "otel_span_id": "",
        "attempt": 2, "ratio": 0.5, "ok": True, "nothing": None,
    }  # fmt: skip


def test_a_line_inside_a_work_carries_its_ids(log: Log) -> None:
    """Inside a request context every line carries its four ids, those of standard-library loggers included."""
    token = current_request.set(RequestContext("request-1", "mail", "t" * 32, "s" * 16))
    get_logger("ours").info("one")
    logging.getLogger("theirs").info("two %s", 2)
    current_request.reset(token)
    ours, theirs = log.lines
    for line in (ours, theirs):
        assert (line["request_id"], line["plugin"]) == ("request-1", "mail")
        assert (line["otel_trace_id"], line["otel_span_id"]) == ("t" * 32, "s" * 16)
    assert (theirs["event"], theirs["logger"], theirs["level"]) == ("two 2", "theirs", "info")


def test_a_logger_of_a_plugin_keeps_its_plugin(log: Log) -> None:
    """A plugin's own logger names that plugin, whichever plugin's request it runs in."""
    with request_context("auth") as context:
        get_logger("galaxy_mail", plugin="mail").info("queued")
    (line,) = log.lines
    assert (line["plugin"], line["request_id"]) == ("mail", context.request_id)


def test_a_field_never_overwrites_the_kernels(log: Log) -> None:
    """A field that has the name of one of the kernel's is kept beside it."""
    get_logger("x").info("said", timestamp="yesterday", level="top", request_id="mine")
    (line,) = log.lines
    assert (line["timestamp_"], line["level_"], line["request_id_"]) == ("yesterday", "top", "mine")
    assert line["level"] == "info"


def test_an_access_line_stands_like_any_other(log: Log) -> None:
    """It has an ordinary line's fields in the same order, and keeps its place among the others."""
    request_context = RequestContext("request-1", "user", "t" * 32, "s" * 16)
    token = current_request.set(request_context)
    get_logger("galaxy_kernel.http").info("request", method="GET", route="/a/{id}", status=200, duration_ms=1.5)
    log_request(request_context, "GET", "/a/{id}", 200, 0.0015)
    get_logger("x").info("after")
    current_request.reset(token)
    ordinary, line, after = log.lines
    assert ordinary.pop("timestamp") <= line.pop("timestamp") <= after["timestamp"]
    assert list(line.items()) == list(ordinary.items())


@pytest.mark.parametrize(
    ("level", "pretty", "expected"), [("warning", False, 0), ("info", True, 1), ("debug", False, 1)]
)
def test_an_access_line_has_its_level_and_dress(level: str, pretty: bool, expected: int) -> None:
    """It is of level info, and pretty where lines are."""
    log = Log(level, pretty=pretty)
    log_request(RequestContext("request-1", "user"), "GET", None, 404, 0.001)
    lines = log.text.splitlines()
    log.logging.close()
    assert len(lines) == expected
    assert not any(line.startswith("{") == pretty for line in lines)


def test_an_exception_stands_in_the_line(log: Log) -> None:
    """A traceback is one field of one line, from our loggers and the standard library's."""
    try:
        raise ValueError("wrong")
    except ValueError as error:
        get_logger("ours").exception("failed")
        get_logger("ours").error("failed", exc_info=error)
        logging.getLogger("theirs").exception("failed")
    for line in log.lines:
        assert line["level"] == "error"
        assert line["exception"].startswith("Traceback")
        assert line["exception"].endswith("ValueError: wrong")


@pytest.mark.parametrize(("level", "expected"), [("debug", 4), ("info", 3), ("warning", 2), ("error", 1)])
def test_lines_below_the_level_are_not_written(level: str, expected: int) -> None:
    """The level holds for our loggers and the standard library's, made before or after it was set."""
    early = get_logger("early")
    log = Log(level)
    for each in (early, get_logger("late"), logging.getLogger("theirs")):
        each.debug("d")
        each.info("i")
        each.warning("w")
        each.error("e")
    log.logging.close()
    assert len(log.lines) == 3 * expected


def test_libraries_that_say_too_much_are_kept_down(log: Log) -> None:
    """SQLAlchemy's statements are not logged at level info, warnings of Python are."""
    logging.getLogger("sqlalchemy.engine").info("SELECT 1")
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(True)
        warnings.warn("old", UserWarning, stacklevel=1)
    assert [line["logger"] for line in log.lines] == ["py.warnings"]


def test_closing_gives_the_defaults_back() -> None:
    """After `close` neither logging library writes to us, and a second configuration replaces the first."""
    first, second = Log(), Log()
    get_logger("x").info("one")
    second.logging.close()
    assert first.text == ""
    assert [line["event"] for line in second.lines] == ["one"]
    assert not structlog.is_configured()
    logging.getLogger("x").warning("late")
    assert len(second.lines) == 1


def test_structlogs_own_test_helper_works(log: Log) -> None:
    """`structlog.testing.capture_logs` sees the lines of loggers made before it."""
    logger = get_logger("x", plugin="mail")
    logger.info("before")
    with structlog.testing.capture_logs() as captured:
        logger.info("inside", n=1)
    assert captured == [{"event": "inside", "n": 1, "plugin": "mail", "log_level": "info"}]


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


# Scrubbing

_LOCAL = st.from_regex(r"[a-z0-9]([a-z0-9._+'-]{0,20}[a-z0-9])?", fullmatch=True).filter(
    lambda local: "''" not in local and local.count("'") < 3 and ".'" not in local and "'." not in local
)
_DOMAIN = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?(\.[a-z]{2,8}){0,2}", fullmatch=True)
ADDRESSES = st.builds("{}@{}".format, _LOCAL, _DOMAIN).filter(lambda address: "@sha" not in address)
AROUND = st.sampled_from(
    (
        "{}",
        "to {}.",
        "<{}>",
        "Key (email)=({}) already exists.",
        "{{'email': '{}'}}",
        '"{}",',
        "a;{};b",
        "\n{}\n",
        "[{}]",
    )
)


@settings(deadline=None, max_examples=60)  # other load on the machine is not a failure
@given(ADDRESSES, AROUND)
def test_an_address_becomes_its_hash(address: str, around: str) -> None:
    """An e-mail address in any text becomes `email:<hash>`, the same hash in whatever case."""
    for typed in (address, address.upper()):
        line = rendered(event=around.format(typed), nested={"list": [around.format(typed)]})
        assert line["event"] == around.format(f"email:{email_hash(address)}")
        assert line["nested"]["list"][0] == line["event"]


@pytest.mark.parametrize(
    "address",
    [
        '"ann b"@example.org',
        "ann@[127.0.0.1]",
        "ann@[IPv6:::1]",
        "ann%40example.org",
        "Änn@exämple.org",
        "ann@localhost",
        "o'brien@example.org",
        "a.very+long.tag=@example.org",
        "x" * 200 + "@example.org",
    ],
)
def test_unusual_addresses_are_found(address: str) -> None:
    """Quoted local parts, literal, international and percent-encoded addresses are found too."""
    text = scrub_text(f"mail to {address} failed")
    assert "@" not in text
    assert "example" not in text
    assert "email:" in text


def test_addresses_in_errors_of_the_standard_librarys_loggers_go(log: Log) -> None:
    """A driver's error that quotes a row is scrubbed, in the message and in the traceback."""
    detail = "DETAIL:  Key (email)=(Ann@Example.org) already exists."
    try:
        raise RuntimeError(detail)
    except RuntimeError:
        logging.getLogger("sqlalchemy.pool").exception("failed for %s", "ann@example.org")
    assert "example.org" not in log.text.lower()
    assert log.text.count(f"email:{email_hash('ann@example.org')}") == 2


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("Authorization: Bearer abc.DEF-123_x", "abc.DEF"),
        ("got bearer AAAAbbbb1111 from", "AAAAbbbb"),
        ("authorization=Basic YWRtaW46aHVudGVyMg==", "YWRtaW4"),
        ("{'Authorization': 'Basic YWRtaW46aHVudGVyMg=='}", "YWRtaW4"),
        ("Cookie: session=abcdef; other=ghijkl", "ghijkl"),
        ("postgres://galaxy:hunter2@db:5432/galaxy", "hunter2"),
        ("postgres://galaxy:p@ss@db/galaxy", "p@ss"),
        ("password=hunter2", "hunter2"),
        ("{'password': 'hunter2'}", "hunter2"),
        ('{"session_token": "hunter2"}', "hunter2"),
        ("Key (token)=(hunter2) already exists", "hunter2"),
        ("x-gateway-token: hunter2hunter2", "hunter2"),
        ("api_key=hunter2&x=1", "hunter2"),
        ("your code is 12345678.", "12345678"),
        ("code=12345678", "12345678"),
        ("{'code': '12345678'}", "12345678"),
    ],
)
def test_secrets_in_texts_are_redacted(text: str, secret: str) -> None:
    """Credentials, passwords in URLs, labelled secrets and codes are taken out of texts."""
    assert secret not in scrub_text(text)
    assert secret not in json.dumps(rendered(event="e", detail=[text]))


@pytest.mark.parametrize(
    "key",
    ["password", "smtp_password", "token", "sessionToken", "X-Gateway-Token", "code", "email_code", "client_secret",
     "authorization", "set-cookie", "credentials", "token_hash"],
)  # fmt: skip
def test_fields_named_like_secrets_are_redacted(key: str) -> None:
    """The value of a field that is named like a secret is not shown, at any depth and of any type."""
    for value in ("hunter2", 12345678, ["hunter2"], {"a": "hunter2"}):
        assert rendered(event="e", **{key: value})[key] == "[redacted]"
        assert rendered(event="e", deep=[{key: value}])["deep"][0][key] == "[redacted]"
    assert rendered(event="e", **{key: None})[key] is None


@pytest.mark.parametrize(
    ("key", "value"),
    [("status_code", 404), ("smtp_code", 550), ("country_code", "AT"), ("exit_code", 137), ("tokens", 5),
     ("http.response.status_code", 200), ("recode", "x"), ("image", "galaxy/game@sha256:0a1b2c"),
     ("event_at", "2030-01-01 @ noon"), ("detail", "error code: 23505"), ("detail", "token expired, sign in again"),
     ("url", "https://example.org/api/v1/public?page=2"), ("detail", "basic checks passed")],
)  # fmt: skip
def test_what_is_no_secret_is_kept(key: str, value: Any) -> None:
    """Fields and texts that only look a little like secrets are shown."""
    assert rendered(event="e", **{key: value})[key] == value


@settings(deadline=None, max_examples=60)  # other load on the machine is not a failure
@given(st.text(st.characters(blacklist_characters="@%:="), max_size=200))
def test_plain_text_is_kept(text: str) -> None:
    """Text without an address, an assignment or credentials is kept as it is."""
    if not any(word in text.lower() for word in ("bearer", "basic", "cookie", "authorization", "code")):
        assert scrub_text(text) == text


@pytest.mark.parametrize(
    "text", ["a" * 200_000, "a." * 100_000 + "@", "'a" * 100_000 + "@x", "code " * 40_000, "x@" * 99_999]
)
def test_scrubbing_takes_little_time_on_any_text(text: str) -> None:
    """Hostile texts are cut and scrubbed in time that does not explode."""
    begun = time.perf_counter()
    assert len(scrub_text(text)) < 600_000
    assert time.perf_counter() - begun < 2


def test_the_hash_of_an_address_is_of_this_process() -> None:
    """The hash is 16 hexadecimal digits, ignores case, and differs in another process."""
    ours = email_hash("Ann@Example.org")
    assert ours == email_hash(" ann@example.ORG ")
    assert ours != email_hash("bob@example.org")
    assert len(ours) == 16
    assert int(ours, 16) >= 0
    theirs = run("from galaxy_chassis.logs import email_hash; print(email_hash('ann@example.org'))").stdout.strip()
    assert len(theirs) == 16
    assert theirs != ours


# Writing


class Counting(io.StringIO):
    """A stream that counts its writes, and notes which threads they come from."""

    writes = 0

    def __init__(self) -> None:
        super().__init__()
        self.threads: set[str] = set()

    def write(self, text: str) -> int:
        if isinstance(text, str):
            self.writes += 1
            self.threads.add(threading.current_thread().name)
        return super().write(text)


def test_ordinary_lines_are_written_in_batches() -> None:
    """A thousand lines take a few writes, in order, without anybody flushing."""
    stream = Counting()
    logging_ = configure_logging(stream=stream)
    logger = get_logger("x")
    for number in range(0, 1000, 2):
        logger.info("n", status=number)
        log_request(RequestContext("", ""), "GET", None, number + 1, 0.001)
    until(lambda: stream.getvalue().count("\n") == 1000)
    logging_.close()
    assert [json.loads(line)["status"] for line in stream.getvalue().splitlines()] == list(range(1000))
    assert stream.writes < 20


async def test_a_busy_event_loop_writes_its_own_batches() -> None:
    """Lines of a thousand turns of the event loop take a few writes, in order, and no other thread."""
    stream = Counting()
    logging_ = configure_logging(stream=stream)
    for number in range(1000):
        log_request(RequestContext("", ""), "GET", None, number, 0.001)
        await asyncio.sleep(0)
    async with asyncio.timeout(5):
        while stream.getvalue().count("\n") < 1000:
            await asyncio.sleep(0.01)
    assert [json.loads(line)["status"] for line in stream.getvalue().splitlines()] == list(range(1000))
    assert stream.writes < 20
    assert stream.threads == {threading.main_thread().name}
    logging_.close()


async def test_lines_of_a_stuck_event_loop_are_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """What an event loop logged before it blocked is written while it is blocked."""
    monkeypatch.setattr(writer, "_WATCH", 0.02)
    stream = Counting()
    logging_ = configure_logging(stream=stream)
    get_logger("x").info("last words")
    until(lambda: "last words" in stream.getvalue())
    assert stream.threads == {"log-writer"}
    logging_.close()


def test_a_warning_is_written_at_once() -> None:
    """A warning is written before the call returns, after the ordinary lines that came before it."""
    reader, sink = pipe()
    logging_ = configure_logging(stream=sink)
    os.set_blocking(reader, False)
    get_logger("x").info("first")
    get_logger("x").warning("second")
    assert [json.loads(line)["event"] for line in os.read(reader, 65536).splitlines()] == ["first", "second"]
    close(logging_, reader, sink)


def test_a_reader_that_stops_reading_stops_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """While stdout is not read, log calls return at once, memory is bounded, and the loss is reported later."""
    monkeypatch.setattr(writer, "HELD_BYTES", 200_000)
    reader, sink = pipe()
    logging_ = configure_logging(stream=sink)
    logger, slowest = get_logger("x"), 0.0
    for number in range(3000):
        begun = time.perf_counter()
        (logger.warning if number % 3 else logger.info)("line", number=number, padding="x" * 200)
        slowest = max(slowest, time.perf_counter() - begun)
    assert slowest < 1
    received = bytearray()
    collect = threading.Thread(target=read_all, args=(reader, received))
    collect.start()
    until(lambda: b"log_lines_dropped" in received or logger.warning("again") or False)
    logging_.close()
    sink.close()
    collect.join()
    os.close(reader)
    lines = [json.loads(line) for line in received.splitlines()]
    dropped = [line for line in lines if line["event"] == "log_lines_dropped"]
    numbers = [line["number"] for line in lines if line["event"] == "line"]
    assert numbers == sorted(numbers)
    assert len(numbers) + sum(line["count"] for line in dropped) >= 3000


def test_a_broken_stdout_crashes_nobody() -> None:
    """A pipe whose reader is gone, and a stream that is closed, swallow the lines."""
    reader, sink = pipe()
    logging_ = configure_logging(stream=sink)
    os.close(reader)
    get_logger("x").error("to nobody")
    get_logger("x").info("to nobody")
    logging_.close()
    sink.close()
    stream = io.StringIO()
    logging_ = configure_logging(stream=stream)
    stream.close()
    get_logger("x").error("to nobody")
    logging_.close()


def test_a_closed_stdout_never_writes_into_another_file() -> None:
    """When stdout's descriptor is closed and its number taken by a file, no line lands in that file."""
    script = """
import os, sys
from galaxy_chassis.logs import configure_logging, get_logger
configure_logging()
os.close(1)
other = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)
assert other == 1
get_logger("x").error("hello")
"""
    path = f"/tmp/galaxy-test-{uuid.uuid4()}"
    try:
        done = run(script, path)
        assert done.returncode == 0, done.stderr
        assert os.stat(path).st_size == 0  # noqa: PTH116
        assert json.loads(done.stdout)["event"] == "hello"
    finally:
        os.unlink(path)  # noqa: PTH108


def test_threads_do_not_mix_their_lines(log: Log) -> None:
    """Lines of many threads come out whole, each thread's in its order."""

    def talk(name: int) -> None:
        logger = get_logger("x", thread=name)
        for number in range(200):
            (logger.warning if number % 50 == 0 else logger.info)("n", number=number)

    threads = [threading.Thread(target=talk, args=(name,)) for name in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    until(lambda: log.stream.getvalue().count("\n") == 1600)
    for name in range(8):
        assert [line["number"] for line in log.lines if line["thread"] == name] == list(range(200))


def test_lines_are_flushed_at_exit_and_on_sigterm() -> None:
    """Lines still held are written when the process ends by itself, by an exception or by SIGTERM."""
    start = "from galaxy_chassis.logs import *\nfrom galaxy_chassis import request_context as work\nimport os, signal\n"
    start += "configure_logging(); install_crash_dumps(flush); get_logger('x').info('last words')\n"
    start += "log_request(work.RequestContext('the-last-request', ''), 'GET', None, 200, 0.1)\n"
    assert _told(run(start)) == ["last words", "request"]
    assert _told(run(start + "raise SystemExit(3)")) == ["last words", "request"]
    done = run(start + "os.kill(os.getpid(), signal.SIGTERM)\nimport time; time.sleep(20)")
    assert _told(done) == ["last words", "request"]
    assert done.returncode == -signal.SIGTERM


def _told(done: subprocess.CompletedProcess[str]) -> list[str]:
    return [json.loads(line)["event"] for line in done.stdout.splitlines()]


def test_crash_dumps_go_to_stderr_scrubbed() -> None:
    """What kills the process or a thread is dumped on stderr, without addresses; stdout stays JSON lines."""
    start = "from galaxy_chassis.logs import *\nimport threading, faulthandler\n"
    start += "configure_logging(); install_crash_dumps(flush); get_logger('x').info('before')\n"
    start += "def fail(): raise ValueError('Key (email)=(ann@example.org) already exists')\n"
    for crash in ("fail()", "t = threading.Thread(target=fail, name='helper'); t.start(); t.join()"):
        done = run(start + crash)
        assert "ValueError: Key (email)=(email:" in done.stderr
        assert "ann@" not in done.stderr
        assert [json.loads(line)["event"] for line in done.stdout.splitlines()] == ["before"]
    assert "helper" in done.stderr
    assert "Segmentation fault" in run(start + "faulthandler._sigsegv()").stderr


async def test_what_the_loop_could_give_to_nobody_is_logged(log: Log) -> None:
    """The loop's exception handler logs the exception; gRPC's harmless race for events is passed over."""
    loop = asyncio.get_running_loop()
    loop_exception_handler(loop, {"message": "never retrieved", "exception": ValueError("x")})
    loop_exception_handler(
        loop, {"message": "noise", "exception": BlockingIOError(), "handle": "PollerCompletionQueue"}
    )
    (line,) = log.lines
    assert (line["event"], line["logger"], line["level"]) == ("never retrieved", "asyncio", "error")
    assert line["exception"] == "ValueError: x"


# For people


def test_pretty_lines_are_short() -> None:
    """`pretty` writes one readable line without trace ids or empty fields, scrubbed, uncoloured off a terminal."""
    log = Log(pretty=True)
    with request_context("mail", "request-1"):
        get_logger("galaxy_mail").info("sent", to="ann@example.org", attempt=1)
    log.logging.close()
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


# Helpers


def until(condition: Any) -> None:
    """Wait for a condition that another thread brings about."""
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def pipe() -> tuple[int, IO[str]]:
    """Make a pipe; return the descriptor to read from and a stream to write to."""
    reader, sink = os.pipe()
    return reader, os.fdopen(sink, "w")


def read_all(reader: int, received: bytearray) -> None:
    """Read until the last writer is gone."""
    while data := os.read(reader, 65536):
        received.extend(data)


def close(logging_: Logging, reader: int, sink: IO[str]) -> None:
    """Close a pipe and the logging on it."""
    logging_.close()
    sink.close()
    os.close(reader)


def run(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a script in a process of its own."""
    return subprocess.run(
        [sys.executable, "-c", script, *arguments], capture_output=True, text=True, timeout=60, check=False
    )
