"""Draws figures against their goals, as an SVG: a bar for each figure, and a line for the goals."""

from collections.abc import Sequence
from html import escape

from bench.rounds import Figure

WIDTH, ROW, TOP = 900, 26, 34
_LEFT, _RIGHT = 390, 150
"""Room for the names before the bars, and for the numbers behind them."""
_MOST = 3.0
"""Times the goal at which a bar ends; one that would be longer is drawn as far as there."""
_REACHED, _MISSED = "#2e7d32", "#c62828"


def plot(figures: Sequence[Figure]) -> str:
    """Draw the figures that have a goal and were measured, in units of their goals: longer is better."""
    bars = [(each, achieved) for each in figures if (achieved := _achieved(each)) is not None]
    height = TOP + ROW * len(bars) + 10
    scale = (WIDTH - _LEFT - _RIGHT) / _MOST
    goal = _LEFT + scale
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}" '
            'font-family="sans-serif" font-size="13">',
            '<rect width="100%" height="100%" fill="#ffffff"/>',
            f'<text x="{goal:.0f}" y="{TOP - 14}" text-anchor="middle">goal</text>',
            *(_bar(each, achieved, TOP + ROW * place, scale) for place, (each, achieved) in enumerate(bars)),
            f'<line x1="{goal:.0f}" y1="{TOP - 8}" x2="{goal:.0f}" y2="{height - 8}" stroke="#333333"/>',
            "</svg>\n",
        ]
    )


def _achieved(each: Figure) -> float | None:
    """Return the figure in units of its goal; None where there is none."""
    if each.goal is None or each.ours is None:
        return None
    return each.goal / each.ours if each.ratio is None else each.ratio / each.goal


def _bar(each: Figure, achieved: float, y: int, scale: float) -> str:
    name = f"{each.id}  {each.measure}" + (f" / {each.against}" if each.against else "")
    number = f"{each.ours:.3g} {each.unit}" if each.ratio is None else f"{each.ratio:.2f}"
    asked = f"{'≤' if each.ratio is None else '≥'} {each.goal:g}"
    length = scale * min(achieved, _MOST)
    return (
        f'<text x="{_LEFT - 8}" y="{y + 13}" text-anchor="end">{escape(name)}</text>'
        f'<rect x="{_LEFT}" y="{y}" width="{length:.0f}" height="{ROW - 8}" '
        f'fill="{_REACHED if each.reached else _MISSED}"/>'
        f'<text x="{WIDTH - _RIGHT + 8}" y="{y + 13}">{escape(number)} ({escape(asked)})</text>'
    )
