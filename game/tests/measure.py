"""Measure how games between machine players go, and print the table of the README: measure.py [GAMES]."""

import statistics
import sys
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from playing import begin, watch

from galaxy_game.events import Battle


def main() -> None:
    """Play and print."""
    games = int(sys.argv[1]) if len(sys.argv) > 1 else 60
    lines = [
        "| seats | median of turns | shortest | reached turn 60 | battles a turn | won by bold | won by careful |",
        "|---|---|---|---|---|---|---|",
    ]
    for seats in (2, 3, 4, 6, 8):
        lengths, battles, winners = [], 0, Counter[bool]()
        for number in range(games):
            game = begin(seats, f"measure {number}")
            for seat in game.seats.values():
                seat.bold = (seat.number + number) % 2 == 0
            for _, events in watch(game, f"measure {number}"):
                battles += sum(isinstance(event, Battle) for event in events)
            lengths.append(game.turn)
            assert game.result is not None
            winners.update(game.seats[seat].bold for seat in game.result.ranking[0])
        late = sum(length == 60 for length in lengths)
        lines.append(
            f"| {seats} | {statistics.median(lengths):g} | {min(lengths)} | {late} of {games} | "
            f"{battles / sum(lengths):.1f} | {winners[True]} | {winners[False]} |"
        )
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
