"""Games, their members and invitations, and the engines to create them with."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Literal

from galaxy_client.calls.base import Calls, Id, identifier
from galaxy_client.models.base import Page
from galaxy_client.models.engines import EngineVersion
from galaxy_client.models.games import Game, GameSummary, Invitation, MadeInvitation, Operation, Schedule
from galaxy_client.retries import Safety

GAMES, INVITATIONS = "/api/v1/user/games", "/api/v1/user/invitations"


def one(game: Id, word: str = "") -> str:
    """Return the path of a game, or of something about it."""
    return f"{GAMES}/{identifier(game)}" + (f"/{word}" if word else "")


class GameCalls(Calls):
    """Games, their members and invitations."""

    async def engine_versions(
        self, engine: str | None = None, *, page: int = 1, page_size: int = 50
    ) -> Page[EngineVersion]:
        """List the engines and versions that take new games."""
        query = {} if engine is None else {"engine": engine}
        return await self._get(
            Page[EngineVersion], "/api/v1/user/engine-versions", page=page, page_size=page_size, **query
        )

    async def games(
        self, scope: Literal["mine", "open", "ended"] = "mine", *, page: int = 1, page_size: int = 50
    ) -> Page[GameSummary]:
        """List games: `mine`, those that you own or are in; `open`, those to join; `ended`, yours that are over."""
        return await self._get(Page[GameSummary], GAMES, scope=scope, page=page, page_size=page_size)

    async def game(self, game: Id) -> Game:
        """Show a game."""
        return await self._get(Game, one(game))

    async def until(self, game: Id, condition: Callable[[Game], bool], *, every: float = 1.0) -> Game:
        """Ask for a game every so many seconds until it is as it should be, and return it.

        There is no time limit: use `asyncio.timeout`. Programs that wait for long follow `events` instead.
        """
        while not condition(shown := await self.game(game)):
            await self._caller.sleep(every)
        return shown

    async def create(
        self,
        name: str,
        engine_version: str,
        *,
        max_players: int,
        schedule: Schedule | Mapping[str, str],
        min_players: int = 2,
        visibility: Literal["public", "private"] = "public",
        run_when_final: bool = False,
        options: Mapping[str, Any] | None = None,
        policy: str | None = None,
        policy_options: Mapping[str, Any] | None = None,
        idempotency_key: str | None = None,
    ) -> Game:
        """Create a game, as a draft. `schedule` is for example `{"interval": "1d"}`.

        A program that may die while it waits gives an `idempotency_key` that it has stored before: creating a game
        again with the same key and content returns the first one.
        """
        body = {
            "name": name,
            "engine_version": engine_version,
            "max_players": max_players,
            "min_players": min_players,
            "schedule": schedule,
            "visibility": visibility,
            "run_when_final": run_when_final,
            "options": options,
            "policy": policy,
            "policy_options": policy_options,
        }
        given = {member: value for member, value in body.items() if value is not None}
        return await self._do(Game, "POST", GAMES, given, key=idempotency_key)

    async def change(self, game: Id, **fields: Any) -> Game:
        """Change fields of a draft, named as those of `create`."""
        return await self._do(Game, "PATCH", one(game), fields)

    async def open_enrolment(self, game: Id) -> Game:
        """Let players join your game."""
        return await self._do(Game, "POST", one(game, "open-enrolment"))

    async def join(self, game: Id) -> Game:
        """Join a game; again changes nothing."""
        return await self._do(Game, "POST", one(game, "join"))

    async def leave(self, game: Id) -> None:
        """Leave a game before its start."""
        await self._do(dict[str, Any], "POST", one(game, "leave"))

    async def remove(self, game: Id, account: Id) -> None:
        """Remove a member from your game."""
        await self._do(type(None), "DELETE", one(game, f"members/{identifier(account)}"))

    async def machines(self, game: Id, count: int = 1) -> Game:
        """Have the engine play so many more seats of your game."""
        return await self._do(Game, "POST", one(game, "machines"), {"count": count}, safety=Safety.ONCE)

    async def remove_machines(self, game: Id) -> Game:
        """Remove all machine players from your game."""
        return await self._do(Game, "DELETE", one(game, "machines"))

    async def start(self, game: Id) -> Operation:
        """Start your game. It is `starting` first: wait until it is `running`, or `start_failed`."""
        return await self._do(Operation, "POST", one(game, "start"))

    async def cancel(self, game: Id) -> Game:
        """End your game for good."""
        return await self._do(Game, "POST", one(game, "cancel"))

    async def pause(self, game: Id) -> Game:
        """Stop the clock of your game; what is left of the turn is kept."""
        return await self._do(Game, "POST", one(game, "pause"))

    async def resume(self, game: Id) -> Game:
        """Let the clock of your game go on."""
        return await self._do(Game, "POST", one(game, "resume"))

    async def extend(self, game: Id, until: datetime) -> Game:
        """Move the next turn of your game to a later time, which has a time zone."""
        return await self._do(Game, "POST", one(game, "extend"), {"until": until})

    async def force_next_turn(self, game: Id) -> Operation:
        """Run the next turn of your game now."""
        return await self._do(Operation, "POST", one(game, "force-next-turn"), safety=Safety.ONCE)

    async def resign(self, game: Id) -> Game:
        """Resign your seat for good."""
        return await self._do(Game, "POST", one(game, "resign"))

    async def invite(self, game: Id, *, account: Id | None = None, email: str | None = None) -> MadeInvitation:
        """Invite an account, an address, or an account whose address you know too; again returns the same one."""
        who = {"account_id": None if account is None else identifier(account), "email": email}
        body = {name: value for name, value in who.items() if value is not None}
        return await self._do(MadeInvitation, "POST", one(game, "invitations"), body)

    async def invitations(self, *, page: int = 1, page_size: int = 50) -> Page[Invitation]:
        """List your invitations that are open."""
        return await self._get(Page[Invitation], INVITATIONS, page=page, page_size=page_size)

    async def accept(self, invitation: Id) -> Game:
        """Join the game of an invitation; again changes nothing."""
        return await self._do(Game, "POST", f"{INVITATIONS}/{identifier(invitation)}/accept")

    async def decline(self, invitation: Id) -> None:
        """Decline an invitation."""
        await self._do(type(None), "POST", f"{INVITATIONS}/{identifier(invitation)}/decline")
