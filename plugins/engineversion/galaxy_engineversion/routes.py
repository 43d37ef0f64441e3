"""The plugin's HTTP operations (SPEC E-1)."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, cast
from uuid import UUID

from pydantic import AfterValidator, ConfigDict, Field, StringConstraints, model_validator
from sqlalchemy import Row

from galaxy_contracts.engines import EngineVersion, VersionState
from galaxy_engineversion.checks import Checks
from galaxy_engineversion.domain import (
    ENGINE,
    IMAGE,
    MAX_IMAGE,
    MAX_NOTES,
    MAX_VERSION,
    VERSION,
    CheckState,
    VersionChange,
    parse_image,
    parse_version,
)
from galaxy_engineversion.errors import CHECKING, DRIVER_MISSING, IN_USE, TAKEN
from galaxy_engineversion.service import EngineVersionService
from galaxy_kernel.api import Access, Call, Described, Model, Page, Paging, Route, Timestamp

EngineName = Annotated[str, StringConstraints(pattern=ENGINE)]
Version = Annotated[
    str,
    StringConstraints(min_length=1, max_length=MAX_VERSION),
    AfterValidator(parse_version),
    Described(pattern=VERSION, examples=["1.4.2"]),
]
Image = Annotated[
    str,
    StringConstraints(min_length=1, max_length=MAX_IMAGE),
    AfterValidator(parse_image),
    Described(pattern=IMAGE, examples=["registry.example.org/space-conquest:1.4.2"]),
]
Notes = Annotated[str, StringConstraints(max_length=MAX_NOTES)]


def _without_default(schema: dict[str, Any]) -> None:
    """Leave the default out of the documentation: an absent field is left as it is, not set to the default."""
    schema.pop("default", None)


class NewEngineVersion(Model):
    """A version to add."""

    version: Version
    """By Semantic Versioning 2.0.0; unique within the engine."""
    image: Image
    """An image reference; under the driver `process` an executable's path."""
    engine: EngineName = "default"
    """Which engine it is a version of."""
    notes: Notes = ""
    """For operators."""
    state: VersionState = "active"


class EngineVersionPatch(Model):
    """The fields of a version that are to change, one at least; the others stay as they are."""

    model_config = ConfigDict(json_schema_extra={"minProperties": 1})

    state: VersionState = Field(default="active", json_schema_extra=_without_default)
    """`deprecated` and `retired` take no new games; games that run on them go on."""
    notes: Notes = Field(default="", json_schema_extra=_without_default)
    engine: EngineName = Field(default="", json_schema_extra=_without_default)
    """Changes only while no game uses the version, as `version` and `image` do."""
    version: Version = Field(default="", json_schema_extra=_without_default)
    image: Image = Field(default="", json_schema_extra=_without_default)
    """A new image forgets the digest, the description and the result of the check."""

    @model_validator(mode="after")
    def _something(self) -> "EngineVersionPatch":
        if not self.model_fields_set:
            raise ValueError("must hold at least one of state, notes, engine, version and image")
        return self

    def change(self) -> VersionChange:
        """Return what was sent and nothing else."""
        return cast("VersionChange", self.model_dump(exclude_unset=True))


class EngineVersionView(Model):
    """A version, as operators see it in the list."""

    id: UUID
    engine: str
    version: str
    image: str
    digest: str | None
    """`repository@sha256:…` once it is known: what games run. Null where no registry gave one."""
    state: VersionState
    notes: str
    created_at: Timestamp
    created_by: str
    check_state: CheckState | None
    """`checking`: a check waits or runs, and the stored result is that of the check before. Null: never checked."""
    checked_at: Timestamp | None
    """When the last check ended."""


class CheckFailure(Model):
    """Why the conformance kit came to no report."""

    code: str
    """As the engine's failures are named everywhere: `image_not_found`, `pull_failed`, …, `check_timeout`."""
    message: str
    detail: str


class CheckFinding(Model):
    """How one check of the conformance kit ended."""

    model_config = ConfigDict(extra="ignore")

    id: str
    title: str
    rule: str
    """The sentence of the engine contract that it holds."""
    outcome: Literal["passed", "failed", "warned", "noted", "skipped"]
    detail: str
    expected: str
    came: str
    calls: Sequence[str]
    """What was done last, as curl lines."""


class CheckResult(Model):
    """What the conformance kit found."""

    model_config = ConfigDict(extra="ignore")

    conforms: bool
    """Whether nothing that was looked at breaks a rule."""
    image: str
    """What was examined: the digest where one is known."""
    failure: CheckFailure | None
    """Why there is no report; null where there is one."""
    engine: str = ""
    """Name and version, as the engine says them."""
    seed: str = ""
    seconds: float = 0.0
    orders: str = ""
    """How many sets of orders of each source were tried."""
    only_empty: bool = False
    """Whether no orders but empty sets were accepted: many checks could see little."""
    results: Sequence[CheckFinding] = ()


class EngineVersionDetail(EngineVersionView):
    """A version, as operators see it."""

    describe: dict[str, Any] | None
    """What the engine says of itself; null until it was started once. Not trusted: its texts may hold anything."""
    check_requested_at: Timestamp | None
    """When the check that waits or runs was requested."""
    check_result: CheckResult | None
    """Of the last check that ended."""
    in_use: int
    """How many games need the version; above 0 it is not deleted, and its image does not change."""


class Players(Model):
    """How many seats a game may have."""

    model_config = ConfigDict(extra="ignore")

    min: int
    max: int


class PlayableVersion(Model):
    """A version that takes new games. What the engine says is null, or empty, until it was started once."""

    id: UUID
    engine: str
    version: str
    title: str | None
    """Of the game; as the engine says it, like all that follows."""
    summary: str | None
    players: Players | None
    options_schema: dict[str, Any] | None
    """JSON Schema of a game's options."""
    order_schema: dict[str, Any] | None
    """JSON Schema of one order; null where the engine says none."""
    capabilities: Sequence[str]

    @classmethod
    def of_version(cls, version: EngineVersion) -> "PlayableVersion":
        """Show a version to players."""
        said: Mapping[str, Any] = version.describe or {}
        return cls(
            id=version.id,
            engine=version.engine,
            version=version.version,
            title=said.get("title"),
            summary=said.get("summary"),
            players=said.get("players"),
            options_schema=said.get("options_schema"),
            order_schema=said.get("order_schema"),
            capabilities=said.get("capabilities", ()),
        )


class EngineVersionQuery(Paging):
    """Filters of the operators' list."""

    engine: EngineName | None = None
    state: VersionState | None = None


class PlayableVersionQuery(Paging):
    """Filters of the players' list."""

    engine: EngineName | None = None


def routes(service: EngineVersionService, checks: Checks) -> Sequence[Route]:
    """Return the plugin's routes."""
    return (*_admin_routes(service), _check_route(service, checks), _user_route(service))


def _detail(row: Row[Any], games: int) -> EngineVersionDetail:
    return EngineVersionDetail.model_validate({**row._mapping, "in_use": games}, extra="ignore")


def _admin_routes(service: EngineVersionService) -> Sequence[Route]:
    path, one = "/api/v1/admin/engine-versions", "/api/v1/admin/engine-versions/{version_id}"

    async def list_versions(query: EngineVersionQuery) -> Page[EngineVersionView]:
        """In every state; filter by engine or state."""
        rows, total = await service.list_versions(query, engine=query.engine, state=query.state)
        return query.page_of([EngineVersionView.of(row) for row in rows], total)

    async def create(call: Call, body: NewEngineVersion) -> EngineVersionDetail:
        """Games choose it at once where its state is `active`. Have it checked with the conformance kit before."""
        call.target.update(engine=body.engine, version=body.version)
        return _detail(await service.create(call.admin, body.model_dump()), 0)

    async def show(version_id: UUID) -> EngineVersionDetail:
        """With what its engine says of itself and what the conformance kit found."""
        return _detail(*await service.show(version_id))

    async def change(call: Call, version_id: UUID, body: EngineVersionPatch) -> EngineVersionDetail:
        """The fields that are sent are set, the others stay. `engine`, `version` and `image` change only while no game
        uses the version; a new image forgets the digest and the result of the check.
        """
        changed = body.change()
        call.target.update({name: str(value) for name, value in changed.items() if name != "notes"})  # never free text
        return _detail(*await service.change(version_id, changed))

    async def delete(version_id: UUID) -> None:
        """While a game uses it or a check runs, it stays."""
        await service.delete(version_id)

    admin, missing, used, there = Access.ADMIN, "404 not_found", f"409 {IN_USE}", f"409 {TAKEN}"
    return (
        Route("GET", path, list_versions, "engineversion.list", "List versions of engines.", admin),
        Route(
            "POST",
            path,
            create,
            name="engineversion.create",
            summary="Add a version of an engine.",
            access=admin,
            status=201,
            errors=(there,),
        ),
        Route("GET", one, show, "engineversion.show", "Show a version.", admin, errors=(missing,)),
        Route(
            "PATCH",
            one,
            change,
            name="engineversion.change",
            summary="Change a version.",
            access=admin,
            errors=(missing, used, there),
        ),
        Route(
            "DELETE",
            one,
            delete,
            name="engineversion.delete",
            summary="Delete a version that no game uses.",
            access=admin,
            errors=(missing, used, f"409 {CHECKING}"),
        ),
    )


def _check_route(service: EngineVersionService, checks: Checks) -> Route:
    async def check(version_id: UUID) -> EngineVersionDetail:
        """Runs in the background: `check_state` is `checking` until it ends, then `passed` or `failed`, with
        `check_result`. A check that waits or runs already is not begun again.
        """
        await checks.request(version_id)
        return _detail(*await service.show(version_id))

    return Route(
        "POST",
        "/api/v1/admin/engine-versions/{version_id}/check",
        check,
        name="engineversion.check",
        summary="Check a version's engine with the conformance kit.",
        access=Access.ADMIN,
        status=202,
        errors=("404 not_found", f"409 {DRIVER_MISSING}"),
    )


def _user_route(service: EngineVersionService) -> Route:
    async def list_active(query: PlayableVersionQuery) -> Page[PlayableVersion]:
        """By engine, the highest version first. Their ids, and `engine@version`, are what a new game names."""
        versions, total = service.list_active(query, engine=query.engine)
        return query.page_of([PlayableVersion.of_version(each) for each in versions], total)

    return Route(
        "GET",
        "/api/v1/user/engine-versions",
        list_active,
        name="engineversion.list_active",
        summary="List the engines and versions that take new games.",
        access=Access.USER,
    )
