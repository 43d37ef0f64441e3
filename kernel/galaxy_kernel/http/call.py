"""A handler's view of its request, and an answer with a status or headers of its own."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

from galaxy_contracts.access import AdminIdentity, UserIdentity
from galaxy_kernel.http.route import Route

T = TypeVar("T")


class Call:
    """One request, as its handler sees it. Who calls is established before the handler runs."""

    __slots__ = ("_admin", "_user", "client_address", "headers", "request_id", "route", "target")

    def __init__(
        self,
        route: Route,
        request_id: str,
        headers: Mapping[str, str],
        client_address: str,
        *,
        user: UserIdentity | None = None,
        admin: AdminIdentity | None = None,
    ) -> None:
        self.route = route
        self.request_id = request_id
        self.headers = headers
        """The request's headers; names are found whatever their case."""
        self.client_address = client_address
        """The client's address (SPEC K-13), without a port: personal data, not for logs or tables."""
        self.target: dict[str, str] = {}
        """Added by the audit log to the path's parameters; set by the handler, such as the name of a new object."""
        self._user, self._admin = user, admin

    @property
    def user(self) -> UserIdentity:
        """The player. Raise RuntimeError on a route whose access is not `user`."""
        if self._user is None:
            raise RuntimeError(f"route {self.route.name!r} has no player: its access is {self.route.access!r}")
        return self._user

    @property
    def admin(self) -> AdminIdentity:
        """The operator. Raise RuntimeError on a route whose access is not `admin`."""
        if self._admin is None:
            raise RuntimeError(f"route {self.route.name!r} has no operator: its access is {self.route.access!r}")
        return self._admin


@dataclass(frozen=True, slots=True)
class Response(Generic[T]):
    """A response with a status or headers of its own; a handler that returns one is annotated `Response[SomeModel]`."""

    value: T
    status: int | None = None
    """None: the route's status."""
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RawJson:
    """A JSON document that exists already: it is answered as it is, neither parsed nor written again."""

    document: bytes

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Describe it as any JSON value."""
        return core_schema.any_schema()


@dataclass(frozen=True, slots=True)
class Html:
    """A page for people, answered as `text/html` in UTF-8.

    Its route answers `Response[Html]` with a `Content-Security-Policy` of the page's own.
    """

    document: str

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Describe it as text."""
        return core_schema.str_schema()
