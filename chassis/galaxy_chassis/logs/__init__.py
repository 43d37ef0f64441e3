"""Logs: JSON lines on stdout, crash dumps on stderr (SPEC K-8).

Every line carries `request_id`, `otel_trace_id`, `otel_span_id` and `plugin` of the current request context, empty
outside any. The lines of libraries that use the standard library's logging look the same.
"""

import logging
import os
import sys
from collections.abc import Callable, MutableMapping
from datetime import UTC, datetime
from typing import IO, Any, cast

import structlog
from structlog.typing import FilteringBoundLogger

from galaxy_chassis.logs.crash import install_crash_dumps, loop_exception_handler
from galaxy_chassis.logs.render import PrettyRenderer, Renderer, RequestLine, fields_of, render_json
from galaxy_chassis.logs.scrub import email_hash, scrub_text
from galaxy_chassis.logs.writer import LineWriter
from galaxy_chassis.request_context import RequestContext, current_request

__all__ = [
    "Logging",
    "configure_logging",
    "email_hash",
    "flush",
    "get_logger",
    "install_crash_dumps",
    "log_request",
    "log_unrouted_request",
    "loop_exception_handler",
    "scrub_text",
]

_LEVELS = {name: getattr(logging, name.upper()) for name in ("debug", "info", "warning", "error", "critical")}
_QUIET = {"sqlalchemy": "warning", "aiohttp.access": "warning", "asyncio": "warning", "alembic": "warning"}
"""Loggers that write too much at lower levels: they stay at warning even when `debug` is set."""


class Logging:
    """The process's logging, which is global because stdout is."""

    def __init__(self, renderer: Renderer, writer: LineWriter, level: str) -> None:
        self._render, self._writer, self._threshold = renderer, writer, _LEVELS[level]
        batches = renderer is render_json and self._threshold <= logging.INFO
        self.write_request: Callable[[RequestLine], None] | None = writer.write_later if batches else None
        """Writes an access line with the next batch; None where access lines are written like any other."""

    def emit(self, level: str, fields: MutableMapping[str, Any]) -> None:
        """Write one line. Never raises."""
        number = _LEVELS.get(level, logging.ERROR)
        if number >= self._threshold:
            self._writer.write(self._render(level, fields), urgent=number >= logging.WARNING)

    def flush(self, wait: float = 1.0) -> None:
        """Write the buffered lines, waiting at most `wait` seconds for the reader."""
        self._writer.flush(wait)

    def close(self) -> None:
        """Flush, stop the writing thread and restore the defaults of both logging libraries."""
        global _active  # noqa: PLW0603  see the class
        self._writer.close()
        if _active is self:
            _active = None
            structlog.reset_defaults()
            logging.captureWarnings(False)
            root = logging.getLogger()
            root.removeHandler(_HANDLER)
            root.setLevel(logging.WARNING)


_active: Logging | None = None


class _Handler(logging.Handler):
    """Hands the lines of the standard library's logging to the same stream."""

    def emit(self, record: logging.LogRecord) -> None:
        if _active is not None:
            _active.emit(record.levelname.lower(), fields_of(record))


_HANDLER = _Handler()


class _Output:
    """What structlog's bound loggers write to."""

    def __init__(self, name: str = "") -> None:
        self.name = name

    def _write(self, level: str, fields: MutableMapping[str, Any]) -> None:
        if _active is not None:
            fields["logger"] = self.name
            _active.emit(level, fields)

    debug = info = warning = error = critical = msg = _write


def _pass_on(_logger: Any, level: str, fields: MutableMapping[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    return (level, fields), {}


def configure_logging(level: str = "info", *, stream: IO[Any] | None = None, pretty: bool = False) -> Logging:
    """Set up structlog and the standard library's logging, once in a process.

    `stream` is stdout unless given. `pretty` writes for people, in colours on a terminal unless `NO_COLOR` is
    set (https://no-color.org). A second call replaces the first.
    """
    global _active  # noqa: PLW0603  see Logging
    if _active is not None:
        _active.close()
    stream = sys.stdout if stream is None else stream
    colours = not os.environ.get("NO_COLOR") and _is_terminal(stream)
    renderer: Renderer = PrettyRenderer(colours=colours) if pretty else render_json
    active = _active = Logging(renderer, LineWriter(stream), level)
    structlog.configure(
        processors=[_pass_on],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        context_class=dict,
        logger_factory=_Output,
        cache_logger_on_first_use=True,
    )
    _configure_standard_logging(level)
    return active


def _configure_standard_logging(level: str) -> None:
    root = logging.getLogger()
    for handler in list(root.handlers):
        if type(handler) in (logging.StreamHandler, _Handler):
            root.removeHandler(handler)
    root.addHandler(_HANDLER)
    root.setLevel(_LEVELS[level])
    for name, least in _QUIET.items():
        logging.getLogger(name).setLevel(max(_LEVELS[level], _LEVELS[least]))
    logging.captureWarnings(True)


def _is_terminal(stream: IO[Any]) -> bool:
    try:
        return stream.isatty()
    except (AttributeError, ValueError):
        return False


def get_logger(name: str, **bound: Any) -> FilteringBoundLogger:
    """Return a logger whose lines carry `logger=name` and the fields bound to it, for example `plugin`.

    One that is made before `configure_logging` finds its level at each call, which costs about 3 µs a line.
    """
    logger = structlog.get_logger(name, **bound)
    return cast("FilteringBoundLogger", logger if _active is None else logger.bind())


_REQUESTS = "galaxy_kernel.http"


_LONGEST_PATH = 200
"""Characters of a path that are logged where no route matches."""


def log_request(context: RequestContext, method: str, route: str | None, status: int, seconds: float) -> None:
    """Write the access line of a request: the route's template, since a path as it came may hold personal data.

    It is by far the most frequent line and holds nothing to scrub, so it is a record until its batch is written.
    """
    duration = int(seconds * 1e6) / 1000  # round() would write the number out and read it again
    write = None if _active is None else _active.write_request
    if write is None:
        get_logger(_REQUESTS).info("request", method=method, route=route, status=status, duration_ms=duration)
    else:
        ids = context.request_id, context.trace_id, context.span_id, context.plugin
        write(RequestLine(datetime.now(UTC), "info", "request", _REQUESTS, *ids, method, route, status, duration))


def log_unrouted_request(context: RequestContext, method: str, path: str, status: int, seconds: float) -> None:
    """Write the access line of a request that matches no route: the path as it came, scrubbed and cut.

    The context is that of the request, also where it is not the current one.
    """
    token = current_request.set(context)
    try:
        get_logger(_REQUESTS).info(
            "request",
            method=method,
            route=None,
            path=scrub_text(path)[:_LONGEST_PATH],
            status=status,
            duration_ms=int(seconds * 1e6) / 1000,
        )
    finally:
        current_request.reset(token)


def flush(wait: float = 1.0) -> None:
    """Write every line that is still buffered, before the process ends abruptly."""
    if _active is not None:
        _active.flush(wait)
