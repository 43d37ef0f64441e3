"""`make bench`, or `python -m bench [--quick] [--json] [--out FILE] [--plot FILE] [NAME …]`.

Exit status 1 when a measure failed; a goal that was not reached is shown in the table, and is not a failure.
"""

import argparse
import importlib
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

import uvloop

from bench.plot import plot
from bench.rounds import Figure, Measure, document, table

MEASURES = (
    "outbox",
    "smtp",
    "enqueue",
    "http",
    "edge",
    "streams",
    "signins",
    "geo",
    "statements",
    "warmup",
    "growth",
    "submit",
    "push",
    "launch",
    "restored",
    "turns",
    "claims",
    "lag",
    "orders",
)
"""Each is the module `bench.<name>`, with a function `measure(*, quick: bool) -> list[Figure]`."""


async def run(names: list[str], keep: Callable[[list[Figure]], None], *, quick: bool) -> tuple[list[Figure], bool]:
    """Run the named measures, or all, and `keep` the results after each; return whether all succeeded."""
    figures: list[Figure] = []
    succeeded = True
    for name in names or MEASURES:
        print(f"{name} …", file=sys.stderr, flush=True)
        try:
            measure: Measure = importlib.import_module(f"bench.{name}").measure
            figures += await measure(quick=quick)
        except Exception:  # the others are still worth running
            traceback.print_exc()
            succeeded = False
        keep(figures)
    return figures, succeeded


def main() -> int:
    """Measure, and print."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__, formatter_class=raw)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(MEASURES)}; all by default")
    parser.add_argument("--quick", action="store_true", help="less work and fewer rounds")
    parser.add_argument("--json", action="store_true", help="print JSON in place of the table")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the JSON to a file as well")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw what has a goal to an SVG file")
    options = parser.parse_args()
    unknown = set(options.names) - set(MEASURES)
    if unknown:
        parser.error(f"there is no measure called {', '.join(sorted(unknown))}: there are {', '.join(MEASURES)}")
    load = os.getloadavg()[0]

    def keep(taken: list[Figure]) -> None:
        if options.out:
            options.out.write_text(document(taken, load) + "\n", encoding="utf-8")
        if options.plot:
            options.plot.write_text(plot(taken), encoding="utf-8")

    figures, succeeded = uvloop.run(run(options.names, keep, quick=options.quick))
    print(document(figures, load) if options.json else table(figures))
    return 0 if succeeded else 1


if __name__ == "__main__":
    sys.exit(main())
