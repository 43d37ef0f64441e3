"""The HTTP operations of games: creating, listing, showing, changing drafts (SPEC L-2)."""

from collections.abc import Sequence
from typing import Literal
from uuid import UUID

from galaxy_kernel.api import Access, Call, Page, Paging, Response, Route
from galaxy_lobby.games.domain import GamePatch, GameSpec
from galaxy_lobby.games.reading import GameReader
from galaxy_lobby.games.service import GameService
from galaxy_lobby.games.views import GameSummary, GameView
from galaxy_lobby.headers import TAGGED, idempotency_key, revalidated

PATH = "/api/v1/user/games"
MAX_BODY = 48 * 1024
"""Bytes: options and policy options of the largest size, and the rest."""
ONE = f"{PATH}/{{game_id}}"
MISSING, OWNER = "404 not_found", "403 owner_only"


class GameQuery(Paging):
    """Which games to list."""

    scope: Literal["mine", "open", "ended"] = "mine"
    """`mine`: those that you own or are in, and that have not ended; `open`: those that anybody may join; `ended`:
    yours that are over."""


def routes(games: GameService, reader: GameReader) -> Sequence[Route]:
    """Return the routes."""

    async def create(call: Call, body: GameSpec) -> Response[GameView]:
        """A draft that you own, and that only you see. Name the engine by `engine@version`, by its id, or by a version
        that one engine alone has. An `Idempotency-Key` makes it unique for you: sent again, it answers with the same
        game.
        """
        account_id = call.user.account_id
        game_id = await games.create(account_id, body, idempotency_key(call.headers))
        return Response(await reader.show(account_id, game_id), headers={"Location": f"{PATH}/{game_id}"})

    async def list_games(call: Call, query: GameQuery) -> Response[Page[GameSummary]]:
        """With `my_turn`, `sent`, `final`, `unread` and `next_turn_at`, in one call from memory for `scope=mine`."""
        account_id = call.user.account_id
        if query.scope == "mine":
            items, total = reader.list_mine(account_id, query)
        elif query.scope == "open":
            items, total = await reader.list_open(account_id, query)
        else:
            items, total = await reader.list_ended(account_id, query)
        return revalidated(call, query.page_of(items, total))

    async def show(call: Call, game_id: UUID) -> Response[GameView]:
        """With its seats. Private games are shown to who is in them or invited."""
        return revalidated(call, await reader.show(call.user.account_id, game_id))

    async def edit(call: Call, game_id: UUID, body: GamePatch) -> GameView:
        """The fields that are sent are set, the others stay; the whole is checked as a new game is. Only the owner, and
        only before it enrols.
        """
        await games.edit(call.user.account_id, game_id, body)
        return await reader.show(call.user.account_id, game_id)

    user = Access.USER
    closed = ("409 engine_version_deprecated", "409 engine_version_retired")
    reused = "422 idempotency_key_reused"
    drafts = (MISSING, OWNER, "409 game_not_draft", *closed)
    return (
        Route(
            "POST",
            PATH,
            create,
            "lobby.create",
            "Create a game.",
            user,
            201,
            errors=(*closed, reused),
            max_body=MAX_BODY,
            headers=("Location",),
        ),
        Route("GET", PATH, list_games, "lobby.list", "List games.", user, headers=TAGGED),
        Route("GET", ONE, show, "lobby.show", "Show a game.", user, errors=(MISSING,), headers=TAGGED),
        Route("PATCH", ONE, edit, "lobby.edit", "Change a draft.", user, errors=drafts, max_body=MAX_BODY),
    )
