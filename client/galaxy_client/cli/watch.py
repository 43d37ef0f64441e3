"""`galaxy watch`: live events, until it is interrupted."""

import json
from contextlib import aclosing
from datetime import datetime
from typing import Annotated, Any

import typer

from galaxy_client import Event, GalaxyError, NotFoundError, Resync
from galaxy_client.cli.failures import CommandError
from galaxy_client.cli.finding import find
from galaxy_client.cli.output import note, say, say_json, word
from galaxy_client.cli.session import AsJson, Insecure, Server, run, signed_in


def watch(
    game: Annotated[str | None, typer.Argument(metavar="[GAME]", help="Only what happens in this game.")] = None,
    after: Annotated[
        str | None, typer.Option("--after", metavar="ID", help="Continue after the event with this id.")
    ] = None,
    as_json: AsJson = False,
    server: Server = None,
    insecure: Insecure = False,
) -> None:
    """Print what happens in your games as it happens, until Ctrl-C. With --json one object a line."""
    run(_watch(game, after, as_json, server, insecure))


async def _watch(given: str | None, after: str | None, as_json: bool, server: str | None, insecure: bool) -> None:
    async with signed_in(server, insecure) as galaxy:
        chosen = None if given is None else str(await find(galaxy, given))
        try:
            async with aclosing(galaxy.events(after, on_disconnect=_disconnected)) as events:
                async for event in events:
                    if chosen is None or isinstance(event, Resync) or _game_of(event) == chosen:
                        _show(event, as_json)
        except NotFoundError:
            raise CommandError(
                "this server has no live events.", "They come from the gateway: name its address with --server."
            ) from None


def _game_of(event: Event) -> Any:
    return event.data.get("game_id") if isinstance(event.data, dict) else None


def _show(event: Event | Resync, as_json: bool) -> None:
    if isinstance(event, Resync):
        if as_json:
            say_json({"id": event.id, "event": "resync", "data": None}, lines=True)
        else:
            say(f"{_now()}  events may have been missed: see galaxy games")
    elif as_json:
        say_json({"id": event.id, "event": event.kind, "data": event.data}, lines=True)
    else:
        say(f"{_now()}  {word(event.kind)}  {json.dumps(event.data)}")


def _disconnected(error: GalaxyError | None, seconds: float) -> None:
    reason = "the server closed the connection" if error is None else str(error)
    note(f"{reason}; again in {seconds:.0f} s")


def _now() -> str:
    return datetime.now().astimezone().strftime("%H:%M:%S")
