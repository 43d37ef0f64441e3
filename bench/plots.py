"""`python -m bench.plots [FILE …]`: draw the plots of `docs/performance.md` from stored results.

The files are what `python -m bench --out FILE` wrote, by default all of `bench/results/`; where two have the same line
of the table, the file that comes later by name has precedence. Nothing is measured.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from bench.lines import draw, series
from bench.plot import plot
from bench.process import ROOT
from bench.rounds import Figure

RESULTS = ROOT / "bench" / "results"
IMAGES = ROOT / "docs" / "images"


def stored(files: Sequence[Path]) -> list[Figure]:
    """Return the figures of result files, each line of the table once."""
    found: dict[tuple[str, str, str], Figure] = {}
    for file in files:
        for each in json.loads(file.read_text(encoding="utf-8"))["figures"]:
            figure = Figure(**{name: value for name, value in each.items() if name != "reached"})
            found[figure.id, figure.measure, figure.against] = figure
    return list(found.values())


def main(arguments: Sequence[str]) -> int:
    """Write the plots."""
    files = [Path(each) for each in arguments] or sorted(RESULTS.glob("*.json"))
    figures = stored(files)
    (IMAGES / "goals.svg").write_text(plot(figures), encoding="utf-8")
    if lines := series(figures):
        (IMAGES / "growth.svg").write_text(draw(lines), encoding="utf-8")
    print(f"{len(figures)} figures of {len(files)} files: {IMAGES}/goals.svg{', growth.svg' if lines else ''}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
