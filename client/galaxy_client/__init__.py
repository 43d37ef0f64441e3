"""The asyncio client for players' programs: `Galaxy`, its errors, and what the server answers."""

from galaxy_client import models
from galaxy_client.client import Galaxy
from galaxy_client.errors import (
    AnswerError,
    CallTimeoutError,
    ClosedError,
    ConflictError,
    ConnectionLostError,
    FieldError,
    ForbiddenError,
    GalaxyError,
    InvalidError,
    NotFoundError,
    ProblemError,
    ThrottledError,
    TransportError,
    UnauthorizedError,
    UnavailableError,
    UnreachableError,
)
from galaxy_client.events import Event, Resync
from galaxy_client.retries import RetryPolicy

__all__ = [
    "AnswerError",
    "CallTimeoutError",
    "ClosedError",
    "ConflictError",
    "ConnectionLostError",
    "Event",
    "FieldError",
    "ForbiddenError",
    "Galaxy",
    "GalaxyError",
    "InvalidError",
    "NotFoundError",
    "ProblemError",
    "Resync",
    "RetryPolicy",
    "ThrottledError",
    "TransportError",
    "UnauthorizedError",
    "UnavailableError",
    "UnreachableError",
    "models",
]
