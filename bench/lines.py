"""Draws how cost grows, as an SVG: a line for each measure that was taken at several sizes, on logarithmic axes.

A figure belongs to a line when its measure ends in its size, as in `memory, 10,000 live games`. A line begins at 1:
what it shows is how many times as much the larger sizes cost, or do.
"""

import math
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from html import escape

from bench.rounds import Figure

WIDTH, HEIGHT = 900, 420
_LEFT, _TOP, _RIGHT, _BOTTOM = 60, 20, 330, 40
_SIZED = re.compile(r"(?P<what>.+), (?P<size>[\d,]+) (?P<of>mails|accounts|live games)")
_COLOURS = ("#1565c0", "#2e7d32", "#c62828", "#6a1b9a", "#ef6c00", "#00838f", "#4e342e", "#455a64")
Line = Sequence[tuple[int, float]]


def series(figures: Sequence[Figure]) -> dict[str, Line]:
    """Return the lines, by name: sizes with what they cost in units of the smallest."""
    found: dict[str, dict[int, float]] = defaultdict(dict)
    for each in figures:
        if each.ours and (sized := _SIZED.fullmatch(each.measure)):
            found[f"{sized['what']}, by {sized['of']}"][int(sized["size"].replace(",", ""))] = each.ours
    return {
        name: [(size, value / line[min(line)]) for size, value in sorted(line.items())]
        for name, line in found.items()
        if len(line) > 1
    }


def draw(lines: Mapping[str, Line]) -> str:
    """Draw the lines. Raise ValueError where there are none."""
    points = [point for line in lines.values() for point in line]
    if not points:
        raise ValueError("no measure was taken at several sizes: run `python -m bench growth`")
    sizes = sorted({size for size, _ in points})
    low, high = min(0.5, *(value for _, value in points)), max(2.0, *(value for _, value in points))

    def x(size: float) -> float:
        return _place(size, sizes[0], sizes[-1], _LEFT, WIDTH - _RIGHT)

    def y(value: float) -> float:
        return _place(value, low, high, HEIGHT - _BOTTOM, _TOP)

    steps = [value for value in (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100) if low <= value <= high]
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}" '
            'font-family="sans-serif" font-size="13">',
            '<rect width="100%" height="100%" fill="#ffffff"/>',
            *(_rule(y(value), f"{value:g}×") for value in steps),
            *(f'<text x="{x(size):.0f}" y="{HEIGHT - 14}" text-anchor="middle">{size:,}</text>' for size in sizes),
            *(
                part
                for place, (name, line) in enumerate(lines.items())
                for part in _line(name, [(x(size), y(value)) for size, value in line], place)
            ),
            "</svg>\n",
        ]
    )


def _place(value: float, low: float, high: float, start: float, end: float) -> float:
    return start + (end - start) * math.log(value / low) / math.log(high / low)


def _rule(y: float, label: str) -> str:
    return (
        f'<line x1="{_LEFT}" y1="{y:.0f}" x2="{WIDTH - _RIGHT}" y2="{y:.0f}" stroke="#dddddd"/>'
        f'<text x="{_LEFT - 8}" y="{y + 4:.0f}" text-anchor="end">{label}</text>'
    )


def _line(name: str, points: Sequence[tuple[float, float]], place: int) -> tuple[str, str]:
    colour, path = _COLOURS[place % len(_COLOURS)], " ".join(f"{x:.0f},{y:.0f}" for x, y in points)
    legend = _TOP + 12 + 20 * place
    return (
        f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>',
        f'<text x="{WIDTH - _RIGHT + 14}" y="{legend}" fill="{colour}">{escape(name)}</text>',
    )
