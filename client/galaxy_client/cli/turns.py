"""`galaxy orders` and `report`."""

import json
import sys
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import typer

from galaxy_client import Galaxy
from galaxy_client.cli.failures import USAGE, CommandError
from galaxy_client.cli.finding import GameArgument, find
from galaxy_client.cli.output import clean, local, say, say_json, word
from galaxy_client.cli.session import AsJson, Insecure, Server, run, signed_in
from galaxy_client.models import Orders, Report, Verdict


def orders(
    game: GameArgument,
    file: Annotated[
        str | None,
        typer.Argument(metavar="[FILE|-]", help="JSON: a list of orders. Without it, those that are stored are shown."),
    ] = None,
    final: Annotated[bool, typer.Option("--final", help="Nobody need wait for more of you this turn.")] = False,
    turn: Annotated[int | None, typer.Option("--turn", min=0, help="Refuse them unless this turn is current.")] = None,
    check: Annotated[bool, typer.Option("--check", help="Ask what the engine says, without sending them.")] = False,
    as_json: AsJson = False,
    server: Server = None,
    insecure: Insecure = False,
) -> None:
    """Send orders for the current turn, in the place of those that are stored; or show these."""
    run(_orders(game, file, final, turn, check, as_json, server, insecure))


def report(
    game: GameArgument,
    turn: Annotated[int | None, typer.Option("--turn", min=0, help="By default the last one.")] = None,
    public: Annotated[bool, typer.Option("--public", help="What everybody may know.")] = False,
    as_json: AsJson = False,
    server: Server = None,
    insecure: Insecure = False,
) -> None:
    """Print your report on a turn."""
    run(_report(game, turn, public, as_json, server, insecure))


async def _orders(
    given: str,
    file: str | None,
    final: bool,
    turn: int | None,
    check: bool,
    as_json: bool,
    server: str | None,
    insecure: bool,
) -> None:
    if file is None and (final or check or turn is not None):
        raise CommandError("--final, --turn and --check need orders.", "Name a FILE, or - for the input.", status=USAGE)
    chosen = None if file is None else parse_orders(_content(file), "the input" if file == "-" else file)
    async with signed_in(server, insecure) as galaxy:
        game_id = await find(galaxy, given, "mine")
        if chosen is None:
            _show_orders(await galaxy.orders(game_id), as_json)
        elif check:
            _show_verdict(await galaxy.validate(game_id, chosen, turn=turn), as_json)
        else:
            await _send(galaxy, game_id, chosen, final, turn, as_json)


async def _send(galaxy: Galaxy, game: UUID, chosen: list[Any], final: bool, turn: int | None, as_json: bool) -> None:
    receipt = await galaxy.send(game, chosen, final=final, turn=turn)
    if as_json:
        say_json(receipt)
        return
    kind = "final orders" if receipt.final else "orders"
    say(f"Accepted: {len(chosen)} {kind} for turn {receipt.turn} (revision {receipt.revision}).")


def _content(file: str) -> str:
    try:
        return sys.stdin.read() if file == "-" else Path(file).read_text("utf-8")
    except OSError as error:
        raise CommandError(f"cannot read {file}: {error.strerror}.", status=USAGE) from None
    except UnicodeDecodeError:
        raise CommandError(f"{file} is not UTF-8.", status=USAGE) from None


def parse_orders(text: str, name: str) -> list[Any]:
    """Return the orders of a file: a JSON list, or what `galaxy orders --json` prints. Raise CommandError."""
    try:
        document = json.loads(text)
    except ValueError as error:
        raise CommandError(f"{name} is not JSON: {error}.", status=USAGE) from None
    found = document.get("orders") if isinstance(document, dict) else document
    if not isinstance(found, list):
        raise CommandError(f"{name} has no list of orders.", 'Write [{"order": …}, …].', status=USAGE)
    return found


def _show_orders(stored: Orders, as_json: bool) -> None:
    if as_json:
        say_json(stored)
        return
    if not stored.revision:
        say(f"You have sent no orders for turn {stored.turn}.")
        return
    for order in stored.orders:
        say(json.dumps(order))
    say(
        f"{len(stored.orders)} {'final ' if stored.final else ''}orders for turn {stored.turn}, sent "
        f"{local(stored.submitted_at)} (revision {stored.revision})."
    )


def _show_verdict(verdict: Verdict, as_json: bool) -> None:
    if as_json:
        say_json(verdict)
    elif verdict.accepted:
        say("The engine would accept them.")
    if not verdict.accepted:
        raise CommandError("the engine would refuse them.", *faults(verdict))


def faults(verdict: Verdict) -> list[str]:
    """Return the lines about what is wrong with orders."""
    return [
        f"  {'' if fault.index is None else f'order {fault.index}: '}{word(fault.message or fault.code)}"
        for fault in verdict.errors
    ]


async def _report(
    given: str, turn: int | None, public: bool, as_json: bool, server: str | None, insecure: bool
) -> None:
    async with signed_in(server, insecure) as galaxy:
        game_id = await find(galaxy, given, "mine", "ended")
        found = await (galaxy.public_report if public else galaxy.report)(game_id, turn)
    if as_json:
        say_json(found)
    else:
        say(told(found))


def told(found: Report) -> str:
    """Return the text of a report, or its data where it has none."""
    if found.text is not None and found.text.strip():
        return clean(found.text).strip()
    return json.dumps(found.data, indent=2)
