"""The HTTP operations of spectators (SPEC V-5). The gateway limits them by address, like every request."""

from collections.abc import Sequence
from uuid import UUID

from galaxy_kernel.api import Access, Call, RawJson, Response, Route
from galaxy_lobby.games.routes import MISSING
from galaxy_lobby.games.views import PublicGameView
from galaxy_lobby.headers import TAGGED, immutable, revalidated
from galaxy_lobby.orders.routes import Turn
from galaxy_lobby.spectators.service import SpectatorService

ONE = "/api/v1/public/games/{game_id}"


def routes(spectators: SpectatorService) -> Sequence[Route]:
    """Return the routes."""

    async def show(call: Call, game_id: UUID) -> Response[PublicGameView]:
        """Without signing in. Ask again with `If-None-Match` to follow it: answers may be cached for five seconds."""
        return revalidated(call, await spectators.show(game_id), shared=True)

    async def report(call: Call, game_id: UUID, turn: Turn) -> Response[RawJson]:
        """A JSON document of the engine's, without signing in. It never changes."""
        return immutable(call, await spectators.report(game_id, turn), shared=True)

    public, missing = Access.PUBLIC, (MISSING,)
    summary = "Show what everybody may know of a position of a public game."
    return (
        Route("GET", ONE, show, "lobby.watch", "Show a public game.", public, errors=missing, headers=TAGGED),
        Route(
            "GET",
            f"{ONE}/turns/{{turn}}",
            report,
            "lobby.watch_report",
            summary,
            public,
            errors=missing,
            headers=TAGGED,
        ),
    )
