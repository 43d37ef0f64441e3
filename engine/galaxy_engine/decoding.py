"""Turning an engine's answer into messages without trust: depth, number of values, UTF-8, then schema.

msgspec skips what is passed on as `Raw` at a gigabyte a second, and bounds its own recursion, but by a depth that
changes with Python's version, and it does not look at the encoding of what it skips. `check_shape` does, in pieces, so
that a thread that works on 16 MiB lets the event loop run in between.
"""

import asyncio
import codecs
from itertools import accumulate
from typing import TypeVar

import msgspec

from galaxy_engine import limits

_M = TypeVar("_M")
_PIECE = 64 * limits.KIB
_STEP = {ord("{"): 1, ord("["): 1, ord("}"): -1, ord("]"): -1}
_NO_BRACKET = bytes(byte for byte in range(256) if byte not in _STEP)
_NEITHER_BRACKET_NOR_QUOTE = _NO_BRACKET.replace(b'"', b"")

Body = bytes | bytearray | memoryview


class MalformedError(ValueError):
    """An answer is not JSON, breaks the schema, or is too deep or too rich; `str()` says what and where."""


async def parse(body: bytes | bytearray, decoder: msgspec.json.Decoder[_M], members: int = limits.MEMBERS) -> _M:
    """Return the message in an answer; large ones are parsed off the event loop. Raise `MalformedError`."""
    if len(body) <= limits.INLINE_BYTES:
        return decode(body, decoder, members)
    return await asyncio.to_thread(decode, body, decoder, members)


def decode(body: Body, decoder: msgspec.json.Decoder[_M], members: int = limits.MEMBERS) -> _M:
    """Return the message in an answer. Raise `MalformedError`."""
    check_shape(body, limits.DEPTH, members)
    try:
        return decoder.decode(body)
    except (msgspec.MsgspecError, RecursionError) as exc:
        raise MalformedError(str(exc)) from None


def check_shape(body: Body, depth: int, members: int) -> None:
    """Raise `MalformedError` if a JSON text is not UTF-8, has more levels than `depth`, or more values than `members`.

    Only strings, brackets and commas are looked at: a text that passes may still not be JSON.
    """
    if len(body) <= _PIECE and _is_plain(bytes(body), depth, members):
        return
    utf8 = codecs.getincrementaldecoder("utf-8")()
    counting = len(body) // 2 >= members  # a value and what parts it from the next are two bytes
    in_string, level, values, start = False, 0, 1, 0
    while start < len(body):
        piece = _piece(body, start)
        start += len(piece)
        _check_utf8(utf8, piece, final=start == len(body))
        outside, in_string = _outside_strings(piece, in_string, keep_all=counting)
        values += outside.count(b",") + outside.count(b"[") + outside.count(b"{")
        if values > members:
            raise MalformedError(f"more than {members} values")
        level, highest = _levels(outside, level)
        if highest > depth:
            raise MalformedError(f"objects and arrays are nested more than {depth} deep")


def _is_plain(text: bytes, depth: int, members: int) -> bool:
    """Return whether a text is within the limits even if everything in its strings counts: reports mostly are."""
    brackets = text.count(b"[") + text.count(b"{")
    return text.isascii() and brackets <= depth and brackets + text.count(b",") < members


def _piece(body: Body, start: int) -> bytes:
    """Return the next piece, which does not end inside an escape."""
    piece = bytes(body[start : start + _PIECE])
    backslashes = len(piece) - len(piece.rstrip(b"\\"))
    return piece[:-1] if backslashes % 2 and len(piece) > 1 else piece


def _check_utf8(decoder: codecs.IncrementalDecoder, piece: bytes, final: bool) -> None:
    try:
        decoder.decode(piece, final)
    except UnicodeDecodeError:
        raise MalformedError("not UTF-8") from None


def _outside_strings(piece: bytes, in_string: bool, keep_all: bool) -> tuple[bytes, bool]:
    """Return what of a piece is outside strings, and whether a string is open at its end.

    Without `keep_all` it may be the brackets alone.
    """
    if b"\\" in piece:
        piece = piece.replace(b"\\\\", b"").replace(b'\\"', b"")
    ends_open = in_string != bool(piece.count(b'"') % 2)
    if not keep_all:
        piece = piece.translate(None, _NEITHER_BRACKET_NOR_QUOTE)
        # Left to right: a quote opens, and where the next thing is a quote too, it closes. If that uses up every quote,
        # no string has brackets in it, and no list of strings has to be made.
        without = (b'"' + piece if in_string else piece).replace(b'""', b"")
        if b'"' not in without.removesuffix(b'"' if ends_open else b""):
            return without.removesuffix(b'"'), ends_open
    return b"".join(piece.split(b'"')[1 if in_string else 0 :: 2]), ends_open


def _levels(text: bytes, level: int) -> tuple[int, int]:
    """Return the level after a text without strings that begins at `level`, and the highest in it."""
    steps = text.translate(None, _NO_BRACKET)
    levels = list(accumulate(map(_STEP.__getitem__, steps), initial=level))
    return levels[-1], max(levels)
