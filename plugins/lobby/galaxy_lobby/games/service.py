"""Creating games and changing drafts.

What a crash leaves behind: each use case is one transaction of row and cache feed. A caller who never heard that a game
was created repeats the request with its `Idempotency-Key` and gets the same game; without one they find a second draft,
which nobody else sees. The engine version is share-locked from its check to the COMMIT, so that a version can neither
be deleted nor closed between the two.
"""

from typing import Any
from uuid import UUID

from galaxy_contracts.engines import (
    ENGINE_VERSIONS,
    AmbiguousVersionError,
    ClosedVersionError,
    EngineVersion,
    UnknownVersionError,
)
from galaxy_contracts.runtime import RUNTIME
from galaxy_engine.option_schema import option_faults, schema_fault
from galaxy_kernel.api import Connection, Context, FieldError, Problem, conflict, invalid, new_id
from galaxy_lobby.domain import Game
from galaxy_lobby.games import queries
from galaxy_lobby.games.domain import GamePatch, GameSpec, ScheduleSpec
from galaxy_lobby.queries import find_settings, insert_game
from galaxy_lobby.settings import LobbySettings
from galaxy_lobby.store import GameStore

_NO_VERSION = "there is no such engine version: name it by its id, by its version or as engine@version"


class GameService:
    """Games until they open; implements the contract `VersionUser`."""

    def __init__(self, context: Context[LobbySettings], store: GameStore) -> None:
        self._context, self._store = context, store

    async def create(self, owner: UUID, spec: GameSpec, key: str | None) -> UUID:
        """Create a draft and return its id; under a key that its owner has used, that of the first one.

        Raise the problems 422 for what cannot be, or for another game under the same key, and 409 for an engine version
        that takes no new games.
        """
        async with self._context.database.transaction() as connection:
            if key is not None and (known := await self._known(connection, owner, spec, key)) is not None:
                return known
            version = self._checked(spec)
            await self._use(connection, version)
            values = self._values(spec, version) | {
                "id": new_id(),
                "owner_id": owner,
                "client_key": key,
                "client_digest": None if key is None else spec.digest(),
                "created_at": self._store.now(),
                "state_changed_at": self._store.now(),
            }
            game = await insert_game(connection, values)
            if game is not None:
                await self._store.keep(connection, game)
                return game.id
            known = await self._known(connection, owner, spec, key or "")  # somebody was quicker by a moment
        if known is None:
            raise RuntimeError("a game was refused as one that exists, and there is none")
        return known

    async def edit(self, account_id: UUID, game_id: UUID, patch: GamePatch) -> None:
        """Change a draft. Raise the problems of `create`, 409 `game_not_draft`, and those of a game not one's own."""
        async with self._store.locked(account_id, game_id, owner=True) as (connection, standing):
            game = standing.game
            if game.state != "draft":
                raise conflict("game_not_draft", "The game has been opened: it can no longer be changed.")
            spec = patch.applied_to(await self._spec_of(connection, game))
            version = self._checked(spec)
            if version.id != game.engine_version_id:
                await self._use(connection, version)
            await self._store.change(connection, game, self._values(spec, version))

    async def in_use(self, connection: Connection, version_id: UUID) -> int:
        """Return how many games need an engine version."""
        return await queries.count_users(connection, version_id)

    async def _known(self, connection: Connection, owner: UUID, spec: GameSpec, key: str) -> UUID | None:
        known = await queries.find_by_client_key(connection, owner, key)
        if known is None:
            return None
        game_id, digest = known
        if digest != spec.digest():
            message = "was used for another game already: a repetition must be the same request"
            raise Problem(
                422,
                "idempotency_key_reused",
                f"Idempotency-Key: {message}",
                faults=[FieldError("Idempotency-Key", message)],
            )
        return game_id

    async def _spec_of(self, connection: Connection, game: Game) -> GameSpec:
        kept = await find_settings(connection, game.id)
        return GameSpec(
            name=game.name,
            engine_version=str(game.engine_version_id),
            visibility=game.visibility,
            min_players=game.min_players,
            max_players=game.max_players,
            schedule=ScheduleSpec(**game.schedule),
            run_when_final=game.run_when_final,
            options=kept.options,
            policy=kept.policy,
            policy_options=kept.policy_options,
        )

    def _checked(self, spec: GameSpec) -> EngineVersion:
        """Return the engine version of a game that can be. Raise the problem 422."""
        if spec.min_players > spec.max_players:
            raise invalid("max_players", f"must be at least min_players, {spec.min_players}")
        runtime = self._context.require(RUNTIME)
        runtime.check_schedule(spec.schedule.schedule(), self._context.settings.min_interval)
        runtime.check_policy(spec.policy, spec.policy_options)
        version = self._version(spec.engine_version)
        _check_by_description(spec, version)
        return version

    def _version(self, reference: str) -> EngineVersion:
        try:
            version = self._context.require(ENGINE_VERSIONS).find(reference)
        except AmbiguousVersionError as error:
            raise invalid("engine_version", str(error)) from None
        if version is None:
            raise invalid("engine_version", _NO_VERSION)
        return version

    async def _use(self, connection: Connection, version: EngineVersion) -> None:
        try:
            await self._context.require(ENGINE_VERSIONS).use(connection, version.id)
        except UnknownVersionError:
            raise invalid("engine_version", _NO_VERSION) from None
        except ClosedVersionError as error:
            sentence = str(error)
            raise conflict(error.code, f"{sentence[:1].upper()}{sentence[1:]}.") from None

    def _values(self, spec: GameSpec, version: EngineVersion) -> dict[str, Any]:
        values = spec.model_dump(exclude={"engine_version", "schedule"})
        schedule = spec.schedule.model_dump(exclude_none=True)
        return {**values, "engine_version_id": version.id, "schedule": schedule}


def _check_by_description(spec: GameSpec, version: EngineVersion) -> None:
    """Hold a game against what its engine says of itself; while that is not known, the start will."""
    description = version.describe
    if description is None:
        return
    players = description.get("players") or {}
    fewest, most = players.get("min", 1), players.get("max", spec.max_players)
    if spec.max_players > most:
        raise invalid("max_players", f"this engine takes at most {most} players")
    if spec.min_players < fewest:
        raise invalid("min_players", f"this engine needs at least {fewest} players")
    schema = description.get("options_schema") or {}
    faults = [] if schema_fault(schema) else option_faults(schema, spec.options)
    if faults:
        errors = [FieldError("options", fault) for fault in faults]
        raise Problem(422, "invalid_request", f"options: {faults[0]}", faults=errors)
