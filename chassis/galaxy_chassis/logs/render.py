"""Turns a log call into one line: JSON for machines, or a short coloured line for people."""

import json
import logging
import sys
import traceback
from collections.abc import MutableMapping
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Protocol

import msgspec
import structlog

from galaxy_chassis.logs.scrub import REDACTED, is_secret_key, plain, scrub, scrub_text, suspicious
from galaxy_chassis.request_context import current_request

_encode = msgspec.json.Encoder().encode
_ExcInfo = tuple[type[BaseException], BaseException, TracebackType | None]


class Renderer(Protocol):
    """Makes a line, newline included, of a level and the fields of an event."""

    def __call__(self, level: str, fields: MutableMapping[str, Any]) -> bytes:
        """Render a line. Never raises: a line that cannot be rendered is replaced by one that names the error."""


def line_of(level: str, fields: MutableMapping[str, Any]) -> dict[str, Any]:
    """Return the line as data: logger, time and request context first, then the event's own fields, scrubbed.

    A `plugin` that the logger carries has precedence over the request context's: a service logs under its own plugin's
    name, whatever called it.
    """
    context = current_request.get()
    line: dict[str, Any] = {
        "timestamp": datetime.now(UTC),
        "level": level,
        "event": fields.pop("event", ""),
        "logger": fields.pop("logger", ""),
        "request_id": "" if context is None else context.request_id,
        "otel_trace_id": "" if context is None else context.trace_id,
        "otel_span_id": "" if context is None else context.span_id,
        "plugin": fields.pop("plugin", None) or ("" if context is None else context.plugin),
    }
    raised = _exception(fields.pop("exc_info", None))
    if raised is not None:
        fields["exception"] = "".join(traceback.format_exception(*raised)).rstrip()
    line["event"] = _scrubbed("event", line["event"])
    for key, value in fields.items():
        line[key if key not in line else f"{key}_"] = _scrubbed(key, value)
    return line


def _scrubbed(key: str, value: Any) -> Any:
    kind = type(value)
    if kind is str:
        if is_secret_key(key):
            return REDACTED
        return scrub_text(value) if suspicious(value) else value
    if kind is bool or value is None:
        return value
    if kind is int or kind is float:
        return REDACTED if is_secret_key(key) else value
    return scrub(plain(key, value))


def render_json(level: str, fields: MutableMapping[str, Any]) -> bytes:
    """Make a JSON line; `timestamp` is RFC 3339 in UTC."""
    try:
        line = line_of(level, fields)
        try:
            return _encode(line) + b"\n"
        except (ValueError, OverflowError):  # lone surrogates, integers past 64 bits
            return json.dumps(line, default=str).encode() + b"\n"
    except Exception as error:  # a log call must never be what fails
        return _encode({"timestamp": datetime.now(UTC), "level": level, "event": _unrenderable(error)}) + b"\n"


class RequestLine(msgspec.Struct, frozen=True, gc=False):
    """An access line, with the fields of any other line; rendered when its batch is written."""

    timestamp: datetime
    level: str
    event: str
    logger: str
    request_id: str
    otel_trace_id: str
    otel_span_id: str
    plugin: str
    method: str
    route: str | None
    status: int
    duration_ms: float

    def __bytes__(self) -> bytes:
        return _encode(self) + b"\n"


class PrettyRenderer:
    """Lines for people at a terminal: no trace ids, no empty fields."""

    def __init__(self, *, colours: bool) -> None:
        self._console = structlog.dev.ConsoleRenderer(
            colors=colours, exception_formatter=structlog.dev.plain_traceback, pad_event_to=0
        )

    def __call__(self, level: str, fields: MutableMapping[str, Any]) -> bytes:
        try:
            line = line_of(level, fields)
            line["timestamp"] = f"{line['timestamp'].astimezone():%H:%M:%S}"
            shown = {key: value for key, value in line.items() if value != "" and not key.startswith("otel_")}
            text = str(self._console(None, level, shown))
        except Exception as error:  # a log call must never be what fails
            text = _unrenderable(error)
        return text.encode("utf-8", "backslashreplace") + b"\n"


def fields_of(record: logging.LogRecord) -> dict[str, Any]:
    """Return the fields of a line of the standard library's logging."""
    fields: dict[str, Any] = {"logger": record.name}
    try:
        fields["event"] = record.getMessage()
    except Exception:  # the message does not fit its arguments: shown as they are
        fields |= {"event": str(record.msg), "arguments": record.args}
    if record.exc_info:
        fields["exc_info"] = record.exc_info
    if record.stack_info:
        fields["stack"] = record.stack_info
    return fields


def _exception(exc_info: Any) -> _ExcInfo | None:
    if not exc_info:
        return None
    if isinstance(exc_info, BaseException):
        return (type(exc_info), exc_info, exc_info.__traceback__)
    if not isinstance(exc_info, tuple):
        exc_info = sys.exc_info()
    return None if exc_info[1] is None else exc_info


def _unrenderable(error: Exception) -> str:
    return f"a log line could not be rendered: {type(error).__name__}"
