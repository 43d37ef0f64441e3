"""What `backend dev` prints once it is ready: the addresses, and what to try."""

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import IO

from galaxy_kernel.core.companions import Trial

_PLACE = re.compile(r"\{([a-z]\w*)\}")
"""Of an address in a trial; the braces of JSON are followed by a quotation mark."""


@dataclass(frozen=True, slots=True)
class Banner:
    """Everything in it, ready to print."""

    addresses: Sequence[tuple[str, str]]
    """Label and what stands beside it."""
    notes: Sequence[str]
    """What is not as usual."""
    trials: Sequence[Trial]

    def render(self, *, colours: bool) -> str:
        """Give the text; commands stand at the left margin and unbroken, to be copied as they are."""
        bold, faint, green, yellow, cyan, end = (
            ("\033[1m", "\033[2m", "\033[32m", "\033[33m", "\033[36m", "\033[0m") if colours else ("",) * 6
        )
        width = max(len(label) for label, _ in self.addresses)
        lines = ["", f"{green}●{end} {bold}Galaxy Backend is ready.{end} {faint}Ctrl-C stops it.{end}", ""]
        lines += [f"  {faint}{label:<{width}}{end}  {cyan}{text}{end}" for label, text in self.addresses]
        lines += ["", *(f"  {yellow}{note}{end}" for note in self.notes)] if self.notes else []
        if self.trials:
            lines += ["", f"{bold}Try it:{end} {faint}paste these into another terminal.{end}"]
        for number, trial in enumerate(self.trials, start=1):
            lines += ["", f"{green}{number}.{end} {trial.title}", "", f"{cyan}{trial.command}{end}"]
        return "\n".join(lines) + "\n\n"


def filled(trials: Iterable[Trial], addresses: Mapping[str, str]) -> list[Trial]:
    """Put the addresses in their places; leave out trials that name one there is not."""
    return [
        Trial(_fill(trial.title, addresses), _fill(trial.command, addresses))
        for trial in trials
        if all(name in addresses for name in _PLACE.findall(trial.title + trial.command))
    ]


def _fill(text: str, addresses: Mapping[str, str]) -> str:
    return _PLACE.sub(lambda place: addresses[place[1]], text)


def wants_colours(stream: IO[str]) -> bool:
    """Tell whether to print in colours: on a terminal, unless `NO_COLOR` is set (https://no-color.org)."""
    return stream.isatty() and not os.environ.get("NO_COLOR")
