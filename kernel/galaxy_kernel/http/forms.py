"""Bodies that are forms, as browsers and mail providers send them: one model, in either of HTML's two encodings."""

from collections.abc import Iterator
from email.message import Message
from email.parser import BytesParser
from email.policy import compat32
from typing import Any

from galaxy_chassis.http.problems import FieldError, Problem
from galaxy_kernel.http.faults import invalid_request
from galaxy_kernel.http.model import Model
from galaxy_kernel.http.parameters import MOST_FIELDS, Query, gather

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
    """Yield the fields of a multipart body (RFC 7578)."""
    header = content_type.encode("utf-8", "surrogateescape")
    message = BytesParser(policy=compat32).parsebytes(b"Content-Type: " + header + b"\r\n\r\n" + raw)
    parts = message.get_payload()
    if message.defects or not isinstance(parts, list):
        raise _malformed("its parts are not separated as its boundary says")
    if len(parts) > MOST_FIELDS:
        raise invalid_request([FieldError("form", f"must have at most {MOST_FIELDS} fields")])
    for part in parts:
        name = part.get_param("name", header="Content-Disposition") if isinstance(part, Message) else None
        if not isinstance(part, Message) or not isinstance(name, str):
            raise _malformed("a part of it has no name")
        yield name, _value(name, part)


def _value(name: str, part: Message) -> str:
    content = part.get_payload(decode=True)
    if part.get_filename() is not None or not isinstance(content, bytes):
        raise invalid_request([FieldError(name, "must be text, not a file")])
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise invalid_request([FieldError(name, "must be UTF-8")]) from None


def _malformed(reason: str) -> Problem:
    return Problem(400, "malformed_form", f"The body is not a valid form: {reason}.")
