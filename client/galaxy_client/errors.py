"""What a call can fail with: a problem that the server answered, a connection that failed, an answer not understood.

No error holds a token: not in its text, not in its attributes, not in its cause.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import msgspec


class GalaxyError(Exception):
    """A call failed."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.uncertain = False
        """Whether the call, or an earlier attempt at it, may have been carried out: its answer was lost. Look again at
        what it was to change before repeating it."""


class ClosedError(GalaxyError):
    """The client is closed."""


class AnswerError(GalaxyError):
    """The answer is not one that the API gives: it is another server, or this client is too old for it."""


class TransportError(GalaxyError):
    """No whole answer came."""


class UnreachableError(TransportError):
    """No connection could be made: the server did not get the request."""


class ConnectionLostError(TransportError):
    """The connection ended before the whole answer had come: the request may have been carried out."""


class CallTimeoutError(TransportError):
    """The time limit passed before the whole answer had come: the request may have been carried out."""


@dataclass(frozen=True, slots=True)
class FieldError:
    """What is wrong with one field of a request."""

    field: str
    """Path of the field, dots between its parts: `schedule.interval`, `orders.0`; of a parameter, its name."""
    message: str


class ProblemError(GalaxyError):
    """The server answered with an error: an RFC 9457 problem document, or only a status where a proxy answered."""

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        fields: Sequence[FieldError] = (),
        retry_after: float | None = None,
        request_id: str | None = None,
    ) -> None:
        faults = "".join(f"; {each.field}: {each.message}" for each in fields)
        super().__init__(f"{status} {code}: {detail}{faults}")
        self.status, self.code, self.detail = status, code, detail
        """`code` is stable and for programs, `detail` for people."""
        self.fields = tuple(fields)
        """What is wrong with which field; empty where that is not the reason."""
        self.retry_after = retry_after
        """Seconds after which to try again, where the server says so."""
        self.request_id = request_id
        """What to quote to the operator."""


class UnauthorizedError(ProblemError):
    """401: the session has ended, there is none, or the sign-in code is wrong."""


class ForbiddenError(ProblemError):
    """403: the account may not do this."""


class NotFoundError(ProblemError):
    """404: there is no such thing, or it is not yours to see."""


class ConflictError(ProblemError):
    """409 and 412: the state of the object does not allow it now; `code` says why."""


class InvalidError(ProblemError):
    """400, 413, 415 and 422: the request is wrong; `fields` says where."""


class ThrottledError(ProblemError):
    """429: too many requests; `retry_after` says when to try again."""


class UnavailableError(ProblemError):
    """502, 503 and 504: not now; trying again later helps."""


_BY_STATUS: Mapping[int, type[ProblemError]] = {
    **dict.fromkeys((400, 413, 415, 422), InvalidError),
    401: UnauthorizedError,
    403: ForbiddenError,
    404: NotFoundError,
    **dict.fromkeys((409, 412), ConflictError),
    429: ThrottledError,
    **dict.fromkeys((502, 503, 504), UnavailableError),
}


class _Fault(msgspec.Struct):
    field: str = ""
    message: str = ""


class _Document(msgspec.Struct):
    code: str = ""
    detail: str = ""
    request_id: str | None = None
    errors: list[_Fault] = []


def problem(status: int, headers: Mapping[str, str], body: bytes, now: datetime) -> ProblemError:
    """Return the error of an answer with a status of 300 or more, whatever its body is."""
    try:
        document = msgspec.json.decode(body, type=_Document)
    except msgspec.MsgspecError:
        document = _Document()
    return _BY_STATUS.get(status, ProblemError)(
        status,
        document.code or f"status_{status}",
        document.detail or "The answer says nothing more.",
        fields=[FieldError(each.field, each.message) for each in document.errors],
        retry_after=retry_after(headers.get("Retry-After"), now),
        request_id=document.request_id or headers.get("X-Request-Id"),
    )


def retry_after(value: str | None, now: datetime) -> float | None:
    """Return the seconds of a `Retry-After` (RFC 9110, section 10.2.3), or None without one that can be read."""
    if value is None:
        return None
    text = value.strip()
    if text.isascii() and text.isdigit() and len(text) <= 9:
        return float(text)
    try:
        at = parsedate_to_datetime(text)
    except ValueError:
        return None
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return max(0.0, (at - now).total_seconds())
