"""The plots of stored results, and what `make bench` says it can measure."""

import importlib
import json
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a function that imports a module of `bench`, which is not a distribution."""
    monkeypatch.syspath_prepend(str(ROOT))
    return lambda name: importlib.import_module(f"bench.{name}")


def test_every_measure_is_there(bench: Any) -> None:
    """Each name that the command line offers is a module with a function `measure`."""
    for name in bench("__main__").MEASURES:
        assert callable(bench(name).measure), name


def test_a_line_is_in_units_of_its_smallest_size(bench: Any) -> None:
    """Figures of one measure at several sizes are a line that begins at 1; others are none."""
    figure = bench("rounds").Figure
    figures = [
        figure("-", "memory, 10,000 live games", "MB", 300.0),
        figure("-", "memory, 1,000 live games", "MB", 150.0),
        figure("-", "claim, 1,000 mails", "ms", 3.0),
        figure("S-1", "outbox drain", "/s", 5.0),
    ]
    lines = bench("lines").series(figures)
    assert lines == {"memory, by live games": [(1_000, 1.0), (10_000, 2.0)]}
    assert "memory, by live games</text>" in bench("lines").draw(lines)


def test_a_later_result_replaces_the_same_line(bench: Any, tmp_path: Path) -> None:
    """Of two files with one line of the table the later one counts; other lines stay."""
    rounds, plots = bench("rounds"), bench("plots")
    first, second = tmp_path / "a.json", tmp_path / "b.json"
    lines = [rounds.Figure("S-7", "geo", "us", 4.0, goal=3.0), rounds.Figure("S-3", "lag", "ms", 9.0, goal=20.0)]
    first.write_text(rounds.document(lines, 0.0))
    second.write_text(rounds.document([rounds.Figure("S-7", "geo", "us", 2.0, goal=3.0)], 0.0))
    assert {each.id: each.ours for each in plots.stored([first, second])} == {"S-7": 2.0, "S-3": 9.0}
    assert json.loads(first.read_text())["figures"][0]["reached"] is False
