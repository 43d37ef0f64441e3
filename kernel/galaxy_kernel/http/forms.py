"""Bodies that are forms, as browsers and mail providers send them: one model, in either of HTML's two encodings."""

from collections.abc import Iterator
from email.message import Message
from email.parser import HeaderParser
from email.policy import compat32
from typing import Any

from galaxy_chassis.http.problems import FieldError, Problem
from galaxy_kernel.http.faults import invalid_request
from galaxy_kernel.http.model import Model
from galaxy_kernel.http.parameters import MOST_FIELDS, Query, gather

_LONGEST_BOUNDARY = 70
"""Characters of a boundary (RFC 2046, 5.1.1)."""
_LONGEST_HEAD = 1024
"""Bytes of the headers of one part."""
_PLAIN = frozenset(("7bit", "8bit", "binary"))

URLENCODED, MULTIPART = "application/x-www-form-urlencoded", "multipart/form-data"


class Form:
    """The form that one operation takes. Its fields are text, converted as those of a query are; files are refused."""

    __slots__ = ("_fields", "model")

    def __init__(self, model: type[Model]) -> None:
        self.model = model
        self._fields = Query(model)

    def parse(self, raw: bytes, content_type: str | None) -> Any:
        """Return the model of a body; an empty one has no fields.

        Raise the problems 400 `malformed_form`, 415 `unsupported_media_type`, 422 `invalid_request` with every fault.
        """
        essence = (content_type or "").partition(";")[0].strip().lower()
        if essence == URLENCODED or not raw:
            return self._fields.parse(_text(raw))
        if essence == MULTIPART:
            return self._fields.take(gather(_parts(raw, content_type or "")))
        raise Problem(
            415, "unsupported_media_type", f"The body must be a form: send Content-Type: {URLENCODED} or {MULTIPART}."
        )


def _text(raw: bytes) -> str:
    try:
        return raw.decode("ascii")
    except UnicodeDecodeError:
        raise _malformed("its characters outside ASCII must be percent-encoded") from None


def _parts(raw: bytes, content_type: str) -> Iterator[tuple[str, str]]:
    """Yield the fields of a multipart body (RFC 7578), in one pass over it."""
    boundary = _parameter(content_type, "boundary")
    if not boundary or len(boundary) > _LONGEST_BOUNDARY:
        raise _malformed("its Content-Type names no boundary")
    _preamble, *parts = (b"\r\n" + raw).split(b"\r\n--" + boundary.encode("utf-8", "surrogateescape"), MOST_FIELDS + 2)
    if len(parts) > MOST_FIELDS + 1:
        raise invalid_request([FieldError("form", f"must have at most {MOST_FIELDS} fields")])
    if not parts or not parts[-1].startswith(b"--"):
        raise _malformed("its parts are not separated as its boundary says")
    for part in parts[:-1]:
        yield _field(part)


def _field(part: bytes) -> tuple[str, str]:
    """Return name and value of a part."""
    padding, line_end, rest = part.partition(b"\r\n")
    head, blank_line, content = rest.partition(b"\r\n\r\n")
    if padding.strip(b" \t") or not line_end or not blank_line or len(head) > _LONGEST_HEAD:
        raise _malformed("its parts are not separated as its boundary says")
    headers = HeaderParser(policy=compat32).parsestr(head.decode("utf-8", "replace"))
    disposition = headers.get("Content-Disposition", "")
    name = _parameter(disposition, "name")
    if name is None:
        raise _malformed("a part of it has no name")
    encoding = headers.get("Content-Transfer-Encoding", "8bit").strip().lower()
    if _parameter(disposition, "filename") is not None:
        raise invalid_request([FieldError(name[:80], "must be text, not a file")])
    if encoding not in _PLAIN:  # RFC 7578, 4.7
        raise invalid_request([FieldError(name[:80], "must be sent as it is, without a Content-Transfer-Encoding")])
    try:
        return name, content.decode()
    except UnicodeDecodeError:
        raise invalid_request([FieldError(name[:80], "must be UTF-8")]) from None


def _parameter(header: str, name: str) -> str | None:
    message = Message(policy=compat32)
    message["Content-Type"] = header
    found = message.get_param(name)
    return found if isinstance(found, str) else None


def _malformed(reason: str) -> Problem:
    return Problem(400, "malformed_form", f"The body is not a valid form: {reason}.")
