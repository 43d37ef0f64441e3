"""Games by what people call them: an id, the beginning of one, or a name."""

from itertools import count
from typing import Annotated, Literal
from uuid import UUID

import typer

from galaxy_client import Galaxy
from galaxy_client.cli.failures import USAGE, CommandError
from galaxy_client.models import GameSummary

Scope = Literal["mine", "open", "ended"]
GameArgument = Annotated[str, typer.Argument(metavar="GAME", help="Its id, the beginning of its id, or its name.")]
_SHORTEST = 4
"""Characters of an id's beginning."""


async def find(galaxy: Galaxy, given: str, *scopes: Scope) -> UUID:
    """Return the id of a game among those of the scopes. Raise CommandError unless exactly one is meant."""
    try:
        return UUID(given)
    except ValueError:
        pass
    games = {game.id: game for scope in scopes or ("mine", "ended") for game in await every(galaxy, scope)}
    found = [game for game in games.values() if _matches(game, given)]
    if not found:
        raise CommandError(f"there is no game {given!r} among yours.", "See them: galaxy games", status=USAGE)
    if len(found) > 1:
        choices = [f"  {game.id}  {game.name}" for game in found[:10]]
        raise CommandError(f"{given!r} may be any of these:", *choices, "Name one by its id.", status=USAGE)
    return found[0].id


async def every(galaxy: Galaxy, scope: Scope) -> list[GameSummary]:
    """Return the games of a scope, of all pages."""
    games: list[GameSummary] = []
    for number in count(1):
        page = await galaxy.games(scope, page=number, page_size=200)
        games += page
        if not page.items or number * page.page_size >= page.total:
            break
    return games


def _matches(game: GameSummary, given: str) -> bool:
    by_id = len(given) >= _SHORTEST and str(game.id).startswith(given.lower())
    return by_id or game.name.casefold() == given.casefold()
