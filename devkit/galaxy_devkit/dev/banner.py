"""What `backend dev` prints once it is ready: the addresses, and what to try."""

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import IO

from galaxy_kernel.core.companions import DevExample

_PLACE = re.compile(r"\{([a-z]\w*)\}")
"""The place of an address in an example; the braces of JSON are followed by a quotation mark."""


@dataclass(frozen=True, slots=True)
class Banner:
    """Everything in it, ready to print."""

    addresses: Sequence[tuple[str, str]]
    """Label and what stands beside it."""
    notes: Sequence[str]
    """What differs from the usual."""
    examples: Sequence[DevExample]
    page: str | None = None
    """Where the players' page is; None where there is none."""

    def render(self, *, colours: bool) -> str:
        """Return the text; commands are at the left margin and unbroken, to be copied as they are."""
        bold, faint, green, yellow, cyan, end = (
            ("\033[1m", "\033[2m", "\033[32m", "\033[33m", "\033[36m", "\033[0m") if colours else ("",) * 6
        )
        width = max(len(label) for label, _ in self.addresses)
        lines = ["", f"{green}●{end} {bold}Galaxy Backend is ready.{end} {faint}Ctrl-C stops it.{end}", ""]
        if self.page is not None:
            lines += [f"  Open {cyan}{self.page}{end} in a browser to play; the sign-in code is on the mail page.", ""]
        lines += [f"  {faint}{label:<{width}}{end}  {cyan}{text}{end}" for label, text in self.addresses]
        lines += ["", *(f"  {yellow}{note}{end}" for note in self.notes)] if self.notes else []
        if self.examples:
            lines += ["", f"{bold}Try it:{end} {faint}paste these into another terminal.{end}"]
        for number, example in enumerate(self.examples, start=1):
            lines += ["", f"{green}{number}.{end} {example.title}", "", f"{cyan}{example.command}{end}"]
        return "\n".join(lines) + "\n\n"


def filled(examples: Iterable[DevExample], addresses: Mapping[str, str]) -> list[DevExample]:
    """Fill in the addresses; leave out examples that name an absent one."""
    return [
        DevExample(_fill(example.title, addresses), _fill(example.command, addresses))
        for example in examples
        if all(name in addresses for name in _PLACE.findall(example.title + example.command))
    ]


def _fill(text: str, addresses: Mapping[str, str]) -> str:
    return _PLACE.sub(lambda place: addresses[place[1]], text)


def wants_colours(stream: IO[str]) -> bool:
    """Return whether to print in colours: on a terminal, unless `NO_COLOR` is set (https://no-color.org)."""
    return stream.isatty() and not os.environ.get("NO_COLOR")
