"""What the tests share: games that play themselves."""

from collections.abc import Callable, Iterator, Mapping, Sequence

from galaxy_game import advice, orders, rules
from galaxy_game.model import Game
from galaxy_game.orders import Order

NAMES = ["Ada", "Ben", "Cyd", "Dov", "Eve", "Fay", "Gus", "Hal"]


def begin(seats: int, seed: str = "seed", options: rules.Options | None = None) -> Game:
    """Return position 0 of a game of so many seats."""
    names = {seat: NAMES[seat - 1] for seat in range(1, seats + 1)}
    return rules.begin(names, options or rules.Options(), seed)


def suggested(game: Game, seed: str) -> dict[int, list[Order]]:
    """Return what machine players would order, which has to be without fault."""
    sets = {}
    for seat in game.living():
        sets[seat.number], faults = orders.judge(game, seat.number, advice.suggest(game, seat.number, seed))
        assert faults == []
    return sets


def watch(
    game: Game, seed: str, choose: Callable[[Game, str], Mapping[int, Sequence[Order]]] = suggested
) -> Iterator[tuple[Mapping[int, Sequence[Order]], list[rules.Event]]]:
    """Play a game to its end; yield the orders and events of each turn."""
    while game.result is None:
        sets = choose(game, seed)
        yield sets, rules.play(game, sets, f"{seed}/{game.turn}", set())
