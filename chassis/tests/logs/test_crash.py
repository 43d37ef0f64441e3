"""What is dumped when a process, a thread or the event loop fails."""

import asyncio
import json
import signal
import subprocess
from collections.abc import Callable
from typing import Any

from galaxy_chassis.logs import (
    loop_exception_handler,
)

Run = Callable[..., subprocess.CompletedProcess[str]]


def test_lines_are_flushed_at_exit_and_on_sigterm(run: Run) -> None:
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


def test_crash_dumps_go_to_stderr_scrubbed(run: Run) -> None:
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


async def test_what_the_loop_could_give_to_nobody_is_logged(log: Any) -> None:
    """The loop's exception handler logs the exception; gRPC's harmless race for events is passed over."""
    loop = asyncio.get_running_loop()
    loop_exception_handler(loop, {"message": "never retrieved", "exception": ValueError("x")})
    loop_exception_handler(
        loop, {"message": "noise", "exception": BlockingIOError(), "handle": "PollerCompletionQueue"}
    )
    (line,) = log.lines
    assert (line["event"], line["logger"], line["level"]) == ("never retrieved", "asyncio", "error")
    assert line["exception"] == "ValueError: x"
