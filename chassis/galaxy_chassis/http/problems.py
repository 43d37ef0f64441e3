"""Errors of the HTTP API: RFC 9457 problem documents with a stable `code`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus

from galaxy_chassis.errors import GalaxyError


@dataclass(frozen=True, slots=True)
class FieldError:
    """What is wrong with one field of a request."""

    field: str
    """Path of the field, dots between its parts: `schedule.interval`; of a parameter, its name."""
    message: str


class Problem(GalaxyError):  # noqa: N818 - the RFC's own word
    """An error response. Handlers and services raise it; the kernel writes the document."""

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        headers: Mapping[str, str] | None = None,
        faults: Sequence[FieldError] = (),
    ) -> None:
        super().__init__(f"{status} {code}: {detail}")
        self.status, self.code, self.detail = status, code, detail
        self.headers, self.faults = dict(headers or {}), tuple(faults)

    @property
    def title(self) -> str:
        """The status's own phrase."""
        return HTTPStatus(self.status).phrase

    def document(self, request_id: str) -> dict[str, object]:
        """Return the problem document."""
        document: dict[str, object] = {
            "type": "about:blank",
            "title": self.title,
            "status": self.status,
            "code": self.code,
            "detail": self.detail,
            "request_id": request_id,
        }
        if self.faults:
            document["errors"] = [{"field": fault.field, "message": fault.message} for fault in self.faults]
        return document


def not_found(what: str) -> Problem:
    """Return the problem for an object that does not exist or is not the caller's."""
    return Problem(404, "not_found", f"There is no such {what}.")


def conflict(code: str, detail: str) -> Problem:
    """Return the problem for a request that the object's state does not allow."""
    return Problem(409, code, detail)


def throttled(detail: str, retry_after: float) -> Problem:
    """Return the problem for too many requests; `retry_after` in seconds, rounded up."""
    seconds = max(1, int(-(-retry_after // 1)))
    return Problem(429, "too_many_requests", detail, headers={"Retry-After": str(seconds)})


def invalid(field: str, message: str) -> Problem:
    """Return the problem for one bad field that only a service can judge."""
    return Problem(422, "invalid_request", f"{field}: {message}", faults=[FieldError(field, message)])
