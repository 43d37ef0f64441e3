"""`make endurance`, or `python -m bench.endurance [--seed N] [--short] [--json] [SCENARIO …]`.

Exit status 1 when something acknowledged was lost, did not converge, or another invariant did not hold.
"""

import argparse
import sys
from collections.abc import Awaitable, Callable

import uvloop

from bench.endurance import boot, caches, days, docker, mail, turns
from bench.endurance.verdict import Verdict, document, lines
from galaxy_chassis.logs import configure_logging

SCENARIOS: dict[str, Callable[..., Awaitable[Verdict]]] = {
    "boot": boot.run,
    "mail": mail.run,
    "caches": caches.run,
    "turns": turns.run,
    "days": days.run,
    "docker": docker.run,
}


def main() -> int:
    """Run the scenarios one after the other, and print the verdict of each when it has ended."""
    parser = argparse.ArgumentParser(prog="python -m bench.endurance", description=sys.modules[__name__].__doc__)
    parser.add_argument("names", nargs="*", metavar="SCENARIO", help=f"of {', '.join(SCENARIOS)}; all by default")
    parser.add_argument("--seed", type=int, default=1, help="draws the faults: what, and at which operation")
    parser.add_argument("--short", action="store_true", help="the same scenarios with less of everything")
    parser.add_argument("--json", action="store_true", help="print JSON in place of text")
    options = parser.parse_args()
    unknown = set(options.names) - set(SCENARIOS)
    if unknown:
        parser.error(f"there is no scenario called {', '.join(sorted(unknown))}: there are {', '.join(SCENARIOS)}")
    configure_logging("critical", stream=sys.stderr)  # the faults are deliberate; the verdict has what matters
    verdicts = uvloop.run(_run(options.names or list(SCENARIOS), options))
    if options.json:
        print(document(verdicts))
    return 0 if all(verdict.held for verdict in verdicts) else 1


async def _run(names: list[str], options: argparse.Namespace) -> list[Verdict]:
    verdicts = []
    for name in names:
        print(f"{name} …", file=sys.stderr, flush=True)
        verdicts.append(await SCENARIOS[name](seed=options.seed, short=options.short))
        if not options.json:
            print(lines(verdicts[-1]), flush=True)
    return verdicts


if __name__ == "__main__":
    sys.exit(main())
