"""One HTTP operation, as plugins contribute it."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal


class Access(StrEnum):
    """Who may call a route (SPEC K-13)."""

    PUBLIC = "public"
    """Everyone."""
    USER = "user"
    """A player: `Authorization: Bearer <session token>`."""
    INTERNAL = "internal"
    """The gateway: header `X-Gateway-Token`."""
    ADMIN = "admin"
    """An operator: HTTP Basic. Unsafe methods are written to the audit log."""


@dataclass(frozen=True, slots=True)
class Route:
    """One HTTP operation.

    The handler's signature is its contract, read once when the routes are assembled. Its parameters are matched by
    name: the path's parameters (converted to their annotations), `body` (a `Model`), `query` (a `Model`), `form` (a
    `Model`: a form in place of a JSON body) and `call` (a `Call`), each optional; its return annotation is the answer:
    a `Model`, a `Page`, `Html`, None (204), or `Response` for one with headers or a status of its own.
    """

    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
    path: str
    """Begins with `/api/v1/<access>/`; parameters as `{account_id}`."""
    handler: Callable[..., Awaitable[Any]]
    name: str
    """`<plugin>.<operation>`, unique: operation id, span name and the action in the audit log."""
    summary: str
    """One line for the API's documentation."""
    access: Access | None = None
    """Required: a route without it refuses the boot."""
    status: int = 200
    """Status of the usual answer; a handler that returns None answers 204 in any case."""
    errors: tuple[str, ...] = ()
    """The codes of the problems it answers beyond the common ones, `<status> <code>`, for the documentation."""
    personal: bool = False
    """For a GET of access `admin`: it shows personal data, and reads of it are recorded in the audit log."""
    max_body: int | None = None
    """Largest body in bytes; None: `BACKEND_HTTP_MAX_BODY`, for `public` and `user` at most 16 KiB."""
    statuses: tuple[int, ...] = ()
    """Further statuses with which it answers as usual, such as 404 with a page; for the documentation."""
    description: str = ""
    """What the summary does not say, for the documentation: effects, conditions, what is refused. Markdown; empty: the
    handler's docstring."""
    headers: tuple[str, ...] = ()
    """Which of `ETag`, `Location`, `If-Match` and `If-None-Match` (and so the answer 304) it has, for the
    documentation."""
