"""`make bench`, or `python -m bench [--quick] [--json] [NAME …]`."""

import argparse
import sys

import uvloop

from bench import outbox
from bench.rounds import Figure, show

MEASURES = {"outbox": outbox.measure}


async def run(names: list[str], *, quick: bool) -> list[Figure]:
    """Take the measures named, all when none is."""
    count, rounds = (2_000, 2) if quick else (10_000, 5)
    return [await MEASURES[name](count, rounds) for name in names or MEASURES]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=sys.modules[__name__].__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(MEASURES)}; all by default")
    parser.add_argument("--quick", action="store_true", help="less work and fewer rounds")
    parser.add_argument("--json", action="store_true", help="JSON for scripts")
    options = parser.parse_args()
    unknown = set(options.names) - set(MEASURES)
    if unknown:
        parser.error(f"no measure is called {', '.join(sorted(unknown))}: there are {', '.join(MEASURES)}")
    show(uvloop.run(run(options.names, quick=options.quick)), as_json=options.json)


if __name__ == "__main__":
    main()
