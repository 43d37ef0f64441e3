"""Reports: what a seat learns of a turn, as prose for people and as data for clients, and what everybody may know."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from galaxy_game.events import Battle, Built, Event, Fell, Joined
from galaxy_game.model import Game
from galaxy_game.prose import tell
from galaxy_game.rules import goal
from galaxy_game.sight import View, view


def private(game: Game, seat: int, events: Sequence[Event]) -> dict[str, Any]:
    """Return the report of a seat: only what the seat may know."""
    known = view(game, seat)
    return {"text": tell(game, known, events), "data": _data(game, known, events)}


def public(game: Game, events: Sequence[Event]) -> dict[str, Any]:
    """Return what anybody may know: who is in, how many planets each holds, where battles were and who won."""
    battles = [event for event in events if isinstance(event, Battle)]
    lines = [f"Turn {game.turn} of {game.limit}"]
    for battle in battles:
        holder = f"{game.seats[battle.winner].name} holds it" if battle.winner else "it belongs to nobody"
        lines.append(f"Battle at {game.planets[battle.planet].name}: {holder}.")
    for row in _standing(game):
        count = f"{row['planets']} planet{'s' * (row['planets'] != 1)}"
        lines.append(f"{row['name']}: {count if row['out'] is None else 'out since turn ' + str(row['out'])}")
    if game.result:
        lines.append(game.result.text)
    data = {
        "turn": game.turn,
        "limit": game.limit,
        "battles": [
            {"planet": battle.planet, "name": game.planets[battle.planet].name, "winner": battle.winner}
            for battle in battles
        ],
        "standing": _standing(game),
    }
    return {"text": "\n".join(lines), "data": data}


def _standing(game: Game) -> list[dict[str, Any]]:
    return [
        {"seat": seat.number, "name": seat.name, "planets": len(game.owned(seat.number)), "out": seat.out}
        for seat in game.seats.values()
    ]


def _data(game: Game, known: View, events: Sequence[Event]) -> dict[str, Any]:
    return {
        "turn": game.turn,
        "limit": game.limit,
        "goal": goal(game),
        "industry": sum(planet.industry for planet in game.planets.values()),
        "planets": [asdict(planet) for planet in known.planets.values()],
        "fleets": [
            {
                "from": fleet.origin,
                "to": fleet.target,
                "ships": fleet.ships,
                "left": fleet.left,
                "arrives": fleet.arrives,
            }
            for fleet in known.fleets
        ],
        "sight": [asdict(stranger) for stranger in known.strangers],
        "events": [told for event in events if (told := _event(known, event)) is not None],
        "standing": [row | {"industry": known.industry(row["seat"])} for row in _standing(game)],
    }


def _event(known: View, event: Event) -> dict[str, Any] | None:
    """Return the event as far as the seat may know it; None for what happened out of its sight."""
    match event:
        case Built(planet, owner, ships) if owner == known.seat:
            return {"event": "built", "planet": planet, "ships": ships}
        case Joined(planet, owner, ships) if owner == known.seat:
            return {"event": "joined", "planet": planet, "ships": ships}
        case Battle(planet, holder, sides, winner, remain) if known.sees(planet):
            told = {"event": "battle", "planet": planet, "holder": holder, "winner": winner, "sides": sorted(sides)}
            if known.seat in sides:
                told |= {"ships": sides[known.seat], "remain": remain if winner == known.seat else 0}
            return told
        case Fell(seat):
            return {"event": "fell", "seat": seat}
    return None
