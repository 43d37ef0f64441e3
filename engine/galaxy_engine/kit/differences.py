"""Where two answers differ first."""

import json
from typing import Any

_CONTEXT = 40


def first_difference(one: bytes, other: bytes) -> str:
    """Return in words where two different answers differ first: the JSON path, or that only the bytes do."""
    try:
        values = json.loads(one), json.loads(other)
    except (ValueError, RecursionError):
        return _bytes_difference(one, other)
    found = _compare(*values, "$")
    if found:
        return found
    return f"same value, other bytes: {_bytes_difference(one, other)}"


def _compare(one: Any, other: Any, path: str) -> str:
    if isinstance(one, dict) and isinstance(other, dict):
        return _compare_objects(one, other, path)
    if isinstance(one, list) and isinstance(other, list):
        pairs = enumerate(zip(one, other, strict=False))
        different = (_compare(left, right, f"{path}[{index}]") for index, (left, right) in pairs)
        lengths = f"{path} has {len(one)} items in one, {len(other)} in the other"
        return next(filter(None, different), "" if len(one) == len(other) else lengths)
    if type(one) is type(other) and one == other:
        return ""
    return f"{path} is {_shown(one)} in one, {_shown(other)} in the other"


def _compare_objects(one: dict[str, Any], other: dict[str, Any], path: str) -> str:
    for key in [*one, *(key for key in other if key not in one)]:
        if key not in one or key not in other:
            return f"{path}.{key} is in only one of them"
        if found := _compare(one[key], other[key], f"{path}.{key}"):
            return found
    return ""


def _bytes_difference(one: bytes, other: bytes) -> str:
    pairs = zip(one, other, strict=False)
    at = next((index for index, (left, right) in enumerate(pairs) if left != right), min(len(one), len(other)))
    return f"at byte {at} {_around(one, at)!r} in one, {_around(other, at)!r} in the other"


def _around(text: bytes, at: int) -> str:
    return text[max(0, at - _CONTEXT // 2) : at + _CONTEXT // 2].decode("utf-8", "replace")


def _shown(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= _CONTEXT else f"{text[:_CONTEXT]}…"
