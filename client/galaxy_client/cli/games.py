"""`galaxy games`, `new`, `invite`, `join` and `start`."""

from typing import Annotated, Any
from uuid import UUID

import msgspec
import typer

from galaxy_client import Galaxy, GalaxyError
from galaxy_client.cli.failures import USAGE, CommandError
from galaxy_client.cli.finding import GameArgument, Scope, every, find
from galaxy_client.cli.output import local, note, progress, say, say_json, say_table, word
from galaxy_client.cli.session import AsJson, Insecure, Server, run, signed_in
from galaxy_client.models import Game, GameSummary, Schedule


def games(
    scope: Annotated[
        Scope, typer.Option("--scope", help="mine; open: those that you may join; ended: yours that are over.")
    ] = "mine",
    as_json: AsJson = False,
    server: Server = None,
    insecure: Insecure = False,
) -> None:
    """List games, and whether it is your turn."""
    run(_games(scope, as_json, server, insecure))


def new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What to call it.")],
    engine: Annotated[
        str | None,
        typer.Option("--engine", metavar="ENGINE@VERSION", help="The engine; needed where there are several."),
    ] = None,
    players: Annotated[int, typer.Option("--players", min=1, help="Seats, machines included.")] = 2,
    machines: Annotated[int, typer.Option("--machines", min=0, help="Seats that the engine plays.")] = 0,
    interval: Annotated[str, typer.Option("--interval", help="The length of a turn: 1d, 12h, 90s.")] = "1d",
    cron: Annotated[
        str | None,
        typer.Option("--cron", metavar="FIELDS", help="When turns run, in place of --interval: '0 20 * * *'."),
    ] = None,
    time_zone: Annotated[str, typer.Option("--time-zone", help="In which --cron is read.")] = "UTC",
    when_final: Annotated[
        bool, typer.Option("--when-final", help="Run a turn as soon as everybody has sent final orders.")
    ] = False,
    private: Annotated[bool, typer.Option("--private", help="Only who is invited sees and joins it.")] = False,
    options: Annotated[
        list[str] | None, typer.Option("--option", metavar="NAME=VALUE", help="For the engine; may be repeated.")
    ] = None,
    seat: Annotated[bool, typer.Option("--join/--no-join", help="Whether to take a seat yourself.")] = True,
    as_json: AsJson = False,
    server: Server = None,
    insecure: Insecure = False,
) -> None:
    """Create a game, open it to players, and take a seat."""
    schedule = Schedule(interval=interval) if cron is None else Schedule(cron=cron, time_zone=time_zone)
    settings: dict[str, Any] = {
        "max_players": players,
        "min_players": players,
        "schedule": schedule,
        "run_when_final": when_final,
        "visibility": "private" if private else "public",
    }
    run(_new(name, engine, settings, options or [], machines, seat, as_json, server, insecure))


def invite(
    game: GameArgument,
    email: Annotated[str, typer.Argument(metavar="EMAIL", help="Whom to invite.")],
    server: Server = None,
    insecure: Insecure = False,
) -> None:
    """Invite somebody to your game, by mail."""
    run(_invite(game, email, server, insecure))


def join(game: GameArgument, server: Server = None, insecure: Insecure = False) -> None:
    """Join a game that is open, or to which you are invited."""
    run(_join(game, server, insecure))


def start(
    game: GameArgument,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Whether to wait until it runs.")] = True,
    server: Server = None,
    insecure: Insecure = False,
) -> None:
    """Start your game."""
    run(_start(game, wait, server, insecure))


async def _games(scope: Scope, as_json: bool, server: str | None, insecure: bool) -> None:
    async with signed_in(server, insecure) as galaxy:
        found = await every(galaxy, scope)
        invitations = (await galaxy.invitations()).items if scope == "open" else []
    if as_json:
        say_json(found)
        return
    for invitation in invitations:
        say(f"{word(invitation.inviter)} invites you to {word(invitation.game)}: galaxy join {invitation.game_id}")
    if not found:
        say({"mine": "You are in no game. Look for one: galaxy games --scope open"}.get(scope, "There are none."))
        return
    heads = ("ID", "NAME", "STATE", "TURN", "SEATS", "YOU", "NEXT TURN")
    say_table(heads, [_row(game) for game in found])


def _row(game: GameSummary) -> tuple[str, ...]:
    turn = "" if game.turn is None else str(game.turn)
    seats = f"{game.enrolled}/{game.max_players}"
    return str(game.id), game.name, _state(game), turn, seats, _standing(game), local(game.next_turn_at)


def _state(game: GameSummary) -> str:
    reason = game.pause_reason or game.failure
    return f"{game.state} ({reason})" if reason else game.state


def _standing(game: GameSummary) -> str:
    if game.my_turn:
        return "your turn (orders sent)" if game.sent else "your turn"
    if game.seat is not None:
        return f"seat {game.seat}"
    return "owner" if game.owned else ""


async def _new(
    name: str,
    engine: str | None,
    settings: dict[str, Any],
    options: list[str],
    machines: int,
    seat: bool,
    as_json: bool,
    server: str | None,
    insecure: bool,
) -> None:
    given = dict(_option(each) for each in options)
    async with signed_in(server, insecure) as galaxy:
        game = await galaxy.create(name, engine or await _only_engine(galaxy), options=given or None, **settings)
        try:
            game = await _opened(galaxy, game, machines, seat)
        except GalaxyError:
            note(f"The game {game.id} was created; what follows was not done.")
            raise
    if as_json:
        say_json(game)
        return
    say(f"{game.id}  {word(game.name)}: {game.enrolled} of {game.max_players} seats are taken.")
    follow = "start it: galaxy start" if game.state == "ready" else "others join it by: galaxy join"
    note(f"Next, {follow} {game.id}")


async def _opened(galaxy: Galaxy, game: Game, machines: int, seat: bool) -> Game:
    game = await galaxy.open_enrolment(game.id)
    if seat:
        game = await galaxy.join(game.id)
    return await galaxy.machines(game.id, machines) if machines else game


async def _only_engine(galaxy: Galaxy) -> str:
    """Return the one engine version. Raise CommandError where there is none, or a choice."""
    versions = await galaxy.engine_versions(page_size=200)
    if not len(versions):
        raise CommandError("the server has no engine for new games.", "Ask its operator to add one.")
    if len(versions) > 1:
        choices = [f"  {version.name}  {version.title or ''}".rstrip() for version in versions]
        raise CommandError("there are several engines:", *choices, "Choose one with --engine.", status=USAGE)
    return versions.items[0].name


def _option(text: str) -> tuple[str, Any]:
    """Return an option's name and its value: JSON, or else the text itself."""
    name, separator, value = text.partition("=")
    if not separator or not name:
        raise CommandError(f"--option {text!r}: expected NAME=VALUE.", status=USAGE)
    try:
        return name, msgspec.json.decode(value)
    except msgspec.DecodeError:
        return name, value


async def _invite(given: str, email: str, server: str | None, insecure: bool) -> None:
    async with signed_in(server, insecure) as galaxy:
        made = await galaxy.invite(await find(galaxy, given, "mine"), email=email)
    say(f"{word(email)} is invited until {local(made.expires_at)}.")


async def _join(given: str, server: str | None, insecure: bool) -> None:
    async with signed_in(server, insecure) as galaxy:
        game = await galaxy.join(await _to_join(galaxy, given))
    say(f"You are in {word(game.name)}: {game.enrolled} of {game.max_players} seats are taken.")


async def _to_join(galaxy: Galaxy, given: str) -> UUID:
    """Return a game that is open, one's own, or the one of an invitation."""
    for invitation in await galaxy.invitations(page_size=200):
        if given.casefold() == invitation.game.casefold() or given == str(invitation.game_id):
            return invitation.game_id
    return await find(galaxy, given, "open", "mine")


async def _start(given: str, wait: bool, server: str | None, insecure: bool) -> None:
    async with signed_in(server, insecure) as galaxy:
        game_id = await find(galaxy, given, "mine")
        await galaxy.start(game_id)
        if not wait:
            say("The game is starting.")
            return
        with progress("The engine is starting …"):
            game = await galaxy.until(game_id, lambda shown: shown.state != "starting", every=0.5)
    if game.state == "start_failed":
        raise CommandError(
            f"the game could not be started: {game.failure}.", f"Try again, or ask the operator: galaxy start {game.id}"
        )
    say(f"{word(game.name)} is {game.state}. Read your report: galaxy report {game.id}")
