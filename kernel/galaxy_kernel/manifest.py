"""What a plugin is and what it contributes, as plain data."""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import Any, Generic, Literal, TypeVar

import grpc.aio
from sqlalchemy import MetaData

from galaxy_contracts.capability import Capability
from galaxy_contracts.fact import Fact
from galaxy_kernel.settings import NoSettings, Settings

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Manifest:
    """Identity, order and settings of a plugin. Order among plugins comes from `requires` and `uses` alone."""

    name: str
    """Lower-case identifier; its distribution, tables' branch and settings prefix follow from it."""
    summary: str
    """One line for `backend plugins`."""
    settings: type[Settings] = NoSettings
    """Group with the prefix `BACKEND_<NAME>_` unless the class names another; a field that is a group is one too."""
    provides: tuple[Capability[Any], ...] = ()
    """Services it offers from its lifespan."""
    requires: tuple[Capability[Any], ...] = ()
    """Services without which the boot is refused."""
    uses: tuple[Capability[Any], ...] = ()
    """Services it takes where there are any."""
    companions: "tuple[Companion, ...]" = ()
    """What `backend dev` starts beside the backend for it, for example a mail sink."""
    trials: "tuple[Trial, ...]" = ()
    """What `backend dev` shows a newcomer to try, in this order."""


@dataclass(frozen=True, slots=True)
class Offer(Generic[T]):
    """A service handed over by a plugin's lifespan."""

    capability: Capability[T]
    implementation: T


@dataclass(frozen=True, slots=True)
class Migrations:
    """A plugin's branch of the schema."""

    package: str
    """Import name of the package with the revisions, `galaxy_mail.migrations`; ids are `<plugin>_0001` and so on."""
    metadata: MetaData
    """The plugin's own tables, without a schema name."""


class Access(StrEnum):
    """Who may call a route (SPEC K-13)."""

    PUBLIC = "public"
    """Anybody."""
    USER = "user"
    """A player: `Authorization: Bearer <session token>`."""
    INTERNAL = "internal"
    """The gateway: header `X-Gateway-Token`."""
    ADMIN = "admin"
    """An operator: HTTP Basic. Unsafe methods are written to the audit log."""


@dataclass(frozen=True, slots=True)
class Route:
    """One HTTP operation.

    The handler's signature is its contract, read once when the routes are assembled. It takes by name: the
    path's parameters (converted to their annotations), `body` (a `Model`), `query` (a `Model`) and `call`
    (a `Call`), each only if it wants it; its return annotation is what it answers: a `Model`, a `Page`,
    None (204), or `Answer` for one with headers or a status of its own.
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
    """Must be given: a route without it refuses the boot."""
    status: int = 200
    """Status of the usual answer; None answers 204 whatever stands here."""
    errors: tuple[str, ...] = ()
    """The codes of the problems it answers beyond the common ones, `<status> <code>`, for the documentation."""
    max_body: int | None = None
    """Largest body in bytes; None: `BACKEND_HTTP_MAX_BODY`."""


@dataclass(frozen=True, slots=True)
class RpcService:
    """One gRPC service on the kernel's listener, which checks the gateway's token on every call."""

    name: str
    """Full name, `galaxy.push.v1.Push`: for health and reflection."""
    add: Callable[[grpc.aio.Server], None]
    """Adds the servicer: the generated `add_…_to_server` with the servicer bound."""


@dataclass(frozen=True, slots=True)
class Worker:
    """Background work, done in passes under the kernel's supervision."""

    name: str
    """`<plugin>.<what>`: the name by which it is woken, logged and probed."""
    run: Callable[[], Awaitable[bool | None]]
    """One pass. True asks for another at once, since there is more to do. It may be called again after any failure."""
    interval: timedelta
    """Longest wait between two passes; a wake-up cuts it short."""
    singleton: bool = False
    """Whether only one replica runs it at a time, under a lock in Postgres."""


@dataclass(frozen=True, slots=True)
class Health:
    """What a probe found."""

    state: Literal["ok", "degraded", "failed"] = "ok"
    detail: str = ""
    """What is wrong and what to do; empty when nothing is."""


@dataclass(frozen=True, slots=True)
class Probe:
    """A check shown by `/readyz`."""

    name: str
    check: Callable[[], Awaitable[Health]]
    """Cheap and without side effects; an exception counts as `failed`."""
    gates: Literal["ready", "report"] = "report"
    """`ready`: a failure turns `/readyz` to 503. `report`: it is shown as `degraded` and no more."""


FactHandler = Callable[[Any, Any], Awaitable[None]]
"""`async (connection, fact)`: runs in a transaction that also marks the fact as handled by this listener."""

Subscriptions = dict[type[Fact], FactHandler]


@dataclass(frozen=True, slots=True)
class Trial:
    """Something to try, printed by `backend dev`: to be pasted into a plain shell, as it stands."""

    title: str
    """What comes of it: one short sentence. It and the command may name addresses, as the command does."""
    command: str
    """`{api}` stands for the backend's URL, `{<companion>}` for the first address of a companion, for example `{mail}`.

    A trial that names a companion which does not run is not shown.
    """


@dataclass(frozen=True, slots=True)
class CompanionRun:
    """A running companion: what it tells the backend and the person at the terminal."""

    environment: dict[str, str] = field(default_factory=dict)
    """Variables set for the backend unless the person has set them."""
    addresses: Sequence[tuple[str, str]] = ()
    """What to print: label and URL."""


@dataclass(frozen=True, slots=True)
class Companion:
    """Something `backend dev` runs beside the backend."""

    name: str
    ports: dict[str, int]
    """Its ports by label, as preferred; a taken one is replaced by a free one and said."""
    run: Callable[[dict[str, int], str], AbstractAsyncContextManager[CompanionRun]]
    """Takes the ports it got and a directory of its own for what it keeps."""
