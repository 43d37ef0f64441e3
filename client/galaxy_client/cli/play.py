"""`galaxy play`: turn after turn in a terminal, until the game is over."""

import json
from typing import Any
from uuid import UUID

from galaxy_client import ConflictError, Galaxy, InvalidError
from galaxy_client.cli.failures import CommandError, explained
from galaxy_client.cli.finding import GameArgument, find
from galaxy_client.cli.output import complain, note, progress, say, word
from galaxy_client.cli.session import Insecure, Server, ask, run, signed_in
from galaxy_client.cli.turns import faults, told
from galaxy_client.models import Game, Options

_SHOWN = 30
"""Choices that are shown at once."""
_HELP = """\
  1 4 7      add choices by their numbers     list     what is chosen
  {"…": …}   add an order as JSON             drop 2   remove the second of these
  more       show more choices                check    ask what the engine says of them
  send       send them, to be changed later   done     send them as final, and wait for the next turn
  report     show the report again            quit     leave; orders that were sent stay"""


class Quit(Exception):  # noqa: N818 - not an error
    """The player leaves."""


def play(game: GameArgument, server: Server = None, insecure: Insecure = False) -> None:
    """Play a game: read each report, choose orders from what the engine offers, wait for the next turn."""
    run(_play(game, server, insecure))


async def _play(given: str, server: str | None, insecure: bool) -> None:
    async with signed_in(server, insecure) as galaxy:
        game_id = await find(galaxy, given, "mine", "ended")
        try:
            await _to_the_end(galaxy, game_id)
        except (Quit, EOFError):
            note(f"Orders that were sent stay. Go on with: galaxy play {game_id}")


async def _to_the_end(galaxy: Galaxy, game_id: UUID) -> None:
    shown_turn = -1
    while True:
        with progress("Waiting for the game …"):
            game = await galaxy.until(game_id, lambda seen, now=shown_turn: _news(seen, now), every=1.0)  # type: ignore[misc] # mypy does not infer the default
        turn = -1 if game.turn is None else game.turn
        if game.seat is None:
            raise CommandError(
                f"you have no seat in {word(game.name)}: it is {game.state}.",
                f"See what everybody may see: galaxy report {game.id} --public",
            )
        if turn != shown_turn:
            say(f"\n{told(await galaxy.report(game_id, turn))}\n")
            shown_turn = turn
        if game.ended:
            say(_result(game))
            return
        if game.my_turn:
            await _Turn(galaxy, game).choose()


def _news(game: Game, shown_turn: int) -> bool:
    """Return whether there is something to show or to do: not while a start or others are waited for."""
    if game.state in ("draft", "enrolling", "ready", "starting"):
        return False
    return game.ended or game.turn is None or game.turn != shown_turn or (game.my_turn and not game.orders_closed)


def _result(game: Game) -> str:
    if game.state != "finished":
        return f"{word(game.name)} is {game.state}."
    winners = (game.result or {}).get("winners") or []
    names = ", ".join(word(game.named(seat)) for seat in winners) or "nobody"
    return f"{word(game.name)} is over after {game.turn} turns. Winner: {names}."


class _Turn:
    """The choice of orders for one turn."""

    def __init__(self, galaxy: Galaxy, game: Game) -> None:
        self._galaxy, self._game = galaxy, game
        self._turn = game.turn or 0
        self._offered: list[Any] = []
        self._first = 0
        self._chosen: list[Any] = []

    async def choose(self) -> None:
        """Ask until final orders were sent, or the turn has run meanwhile. Raise Quit, or EOFError."""
        stored = await self._galaxy.orders(self._game.id)
        self._chosen = list(stored.orders)
        await self._load_options()
        if self._chosen:
            self._list()
        note("Your orders? (help lists what may be entered)")
        while not await self._entered(ask(f"turn {self._turn}> ")):
            pass

    async def _load_options(self) -> None:
        try:
            options = await self._galaxy.options(self._game.id)
        except ConflictError as error:
            if error.code != "options_unsupported":
                raise
            note(
                "The engine does not list what may be ordered: enter orders as JSON. (Engines suggest orders to the "
                "server, for its machine players; the API does not pass suggestions on.)"
            )
            return
        self._offered = options.orders
        self._more()
        if not options.complete:
            note(_more_is_possible(options))

    async def _entered(self, line: str) -> bool:
        """Do what was entered; return whether the turn is done with."""
        command, _, rest = line.partition(" ")
        match command:
            case "send" | "done":
                return await self._send(final=command == "done")
            case "check":
                await self._check()
            case "report":
                say(told(await self._galaxy.report(self._game.id, self._turn)))
            case "quit":
                raise Quit
            case _:
                self._edit(line, command, rest)
        return False

    def _edit(self, line: str, command: str, rest: str) -> None:
        """Change what is chosen."""
        numbers = line.split()
        if command == "more":
            self._more()
        elif command == "list":
            self._list()
        elif command == "drop" and rest.isdecimal() and 1 <= int(rest) <= len(self._chosen):
            del self._chosen[int(rest) - 1]
            self._list()
        elif numbers and all(each.isdecimal() and 1 <= int(each) <= len(self._offered) for each in numbers):
            self._chosen += [self._offered[int(each) - 1] for each in numbers]
            self._list()
        elif line.startswith(("{", "[")):
            self._add_json(line)
        elif line:
            note(_HELP)

    def _add_json(self, line: str) -> None:
        try:
            order = json.loads(line)
        except ValueError as error:
            note(f"That is not JSON: {error}.")
            return
        self._chosen += order if isinstance(order, list) else [order]
        self._list()

    def _more(self) -> None:
        last = min(self._first + _SHOWN, len(self._offered))
        for number in range(self._first, last):
            say(f"{number + 1:4}  {json.dumps(self._offered[number])}")
        if last < len(self._offered):
            note(f"({len(self._offered) - last} more: more)")
        self._first = 0 if last == len(self._offered) else last

    def _list(self) -> None:
        for number, order in enumerate(self._chosen, start=1):
            say(f"  {number}. {json.dumps(order)}")
        if not self._chosen:
            say("  no orders")

    async def _check(self) -> None:
        try:
            verdict = await self._galaxy.validate(self._game.id, self._chosen, turn=self._turn)
        except ConflictError as error:
            complain(explained(error))
            return
        say("The engine would accept them." if verdict.accepted else "The engine would refuse them:")
        for line in faults(verdict):
            say(line)

    async def _send(self, *, final: bool) -> bool:
        try:
            receipt = await self._galaxy.send(self._game.id, self._chosen, final=final, turn=self._turn)
        except (ConflictError, InvalidError) as error:
            complain(explained(error))
            return isinstance(error, ConflictError)  # the turn is over or runs: look again
        say(f"Accepted: {len(self._chosen)} {'final ' if final else ''}orders for turn {receipt.turn}.")
        return final


def _more_is_possible(options: Options) -> str:
    return "These are not all: other orders may be entered as JSON." if options.orders else "Enter orders as JSON."
