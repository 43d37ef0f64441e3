"""Whether a report holds what it should not: the game's state."""

import json
from collections.abc import Iterator
from typing import Any

import msgspec

from galaxy_engine.messages import Position

_STRETCH = 200
"""Characters of the state's text in a report that cannot be chance."""
_BLOCK = _STRETCH // 2  # a stretch of 200 holds at least one block of 100 that begins at a multiple of 100
_LARGEST = 2 * 1024 * 1024
"""Bytes of a state or report that are looked at."""


class Leak(msgspec.Struct, frozen=True):
    """State in a report."""

    where: str
    whole: bool
    """Whether it is the whole state."""
    excerpt: str


def state_in_reports(position: Position) -> Iterator[Leak]:
    """Yield each report that has 200 characters of the state's text in it, or all of a state that long."""
    state = bytes(memoryview(position.state)[:_LARGEST])
    if len(state) < _STRETCH:
        return
    reports = {f"the report of seat {seat}": raw for seat, raw in position.reports.items()}
    if position.spectators_report is not None:
        reports["the public report"] = position.spectators_report
    for name, raw in reports.items():
        report = bytes(memoryview(raw)[:_LARGEST])
        if _has_whole(state, report):
            yield Leak(name, True, state[:80].decode("utf-8", "replace"))
        elif stretch := _common_stretch(state, report):
            yield Leak(name, False, stretch[:80].decode("utf-8", "replace"))


def _has_whole(state: bytes, report: bytes) -> bool:
    """Whether the report has all of the state in it, as it is, as a text, or written otherwise."""
    if state in report:
        return True
    try:
        value, texts, values = json.loads(state), *_inside(json.loads(report))
    except (ValueError, RecursionError):
        return False
    return value in values or any(state.decode() in text for text in texts)


def _inside(value: Any) -> tuple[list[str], list[Any]]:
    """Return all texts, and all objects and arrays, inside a value."""
    texts: list[str] = []
    values: list[Any] = []
    left = [value]
    while left:
        item = left.pop()
        if isinstance(item, str):
            texts.append(item)
        elif isinstance(item, dict | list):
            values.append(item)
            left.extend(item.values() if isinstance(item, dict) else item)
    return texts, values


def _common_stretch(state: bytes, report: bytes) -> bytes:
    """Return a stretch of at least 200 bytes that both have; b"" if there is none."""
    blocks = {state[at : at + _BLOCK]: at for at in range(0, len(state) - _BLOCK + 1, _BLOCK)}
    for at in range(len(report) - _BLOCK + 1):
        found = blocks.get(report[at : at + _BLOCK])
        if found is not None:
            before, after = _same_before(state[:found], report[:at]), _same_after(state[found:], report[at:])
            if before + after >= _STRETCH:
                return report[at - before : at + after]
    return b""


def _same_after(one: bytes, other: bytes) -> int:
    pairs = zip(one[:_STRETCH], other[:_STRETCH], strict=False)
    return next(
        (index for index, (left, right) in enumerate(pairs) if left != right), min(len(one), len(other), _STRETCH)
    )


def _same_before(one: bytes, other: bytes) -> int:
    return _same_after(one[: -_STRETCH - 1 : -1], other[: -_STRETCH - 1 : -1])
