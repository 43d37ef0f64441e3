"""What happens when the process, a thread or the event loop fails: dumps on stderr, scrubbed like any line."""

import asyncio
import faulthandler
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any

import structlog

from galaxy_chassis.logs.scrub import scrub_text


def install_crash_dumps(flush: Callable[[], None]) -> None:
    """Dump on stderr what kills the process or a thread, native faults included, after `flush`ing the logs.

    A SIGTERM that comes while nobody handles it flushes first, too; `serve` replaces that by its own handling.
    """
    faulthandler.enable()

    def dump(heading: str, kind: type[BaseException], error: BaseException | None, trace: TracebackType | None) -> None:
        flush()
        text = "".join(traceback.format_exception(kind, error, trace))
        sys.stderr.write(f"{heading}\n{scrub_text(text)}")
        sys.stderr.flush()

    def process_failed(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if issubclass(kind, KeyboardInterrupt):
            flush()
            sys.__excepthook__(kind, error, trace)
        else:
            dump("the process ends with an unhandled exception", kind, error, trace)

    def thread_failed(args: threading.ExceptHookArgs) -> None:
        name = args.thread.name if args.thread is not None else "?"
        dump(f"thread {name} ended with an exception", args.exc_type, args.exc_value, args.exc_traceback)

    def terminated(number: int, _frame: FrameType | None) -> None:
        flush()
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)

    sys.excepthook = process_failed
    threading.excepthook = thread_failed
    if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, terminated)


def loop_exception_handler(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Log an exception that nothing awaits, for `loop.set_exception_handler`.

    gRPC wakes every event loop of the process for each event and the losers of that race raise, which is harmless
    (grpc/grpc#25364) and ignored.
    """
    error = context.get("exception")
    if isinstance(error, BlockingIOError) and "PollerCompletionQueue" in repr(context.get("handle")):
        return
    task = context.get("task") or context.get("future")
    name = task.get_name() if isinstance(task, asyncio.Task) else ""
    structlog.get_logger("asyncio").error(
        str(context.get("message", "an unhandled exception")), task=name, exc_info=error
    )
