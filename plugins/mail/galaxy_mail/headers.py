"""Writes header fields as they stand in a mail, folded and encoded (RFC 5322, 2.2.3 and 3.2.4; RFC 2047).

The standard library's own folding loses quotes, writes words that are too long, and differs from release to release.
"""

import base64
import re
from email.headerregistry import Address
from email.policy import Policy

_LINE = 78
"""Characters of a line, where its text has blanks (RFC 5322, section 2.1.1)."""
_LONGEST = 900
"""Characters that ASCII text may have without a blank: a line has at most 998."""
_WORD, _ENCODED_LINE = 75, 76
"""Characters of an encoded word, and of a line that has one (RFC 2047, section 2)."""
_BEGIN, _END = "=?utf-8?b?", "?="
_PIECE = re.compile(" *[^ ]+")
_ATOMS = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?: [A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*")


class Finished(str):
    """A header's value as it is written; the library passes it on unchanged."""

    name: str

    def __new__(cls, name: str, value: str) -> "Finished":
        """Keep a name and its value, whose line breaks are those of a folded header."""
        header = super().__new__(cls, value)
        header.name = name
        return header

    def fold(self, *, policy: Policy) -> str:
        """Return the header's lines."""
        return f"{self.name}: {self}{policy.linesep}"


def text(name: str, value: str) -> Finished:
    """Return a header of text without line breaks."""
    begun = len(name) + 2
    if _passes(value):
        return Finished(name, _folded(value, begun))
    return Finished(name, "\r\n ".join(_encoded(value, begun)))


def mailbox(name: str, sender: Address) -> Finished:
    """Return a header of one mailbox; its display name is one phrase, whatever it has in it."""
    begun, address = len(name) + 2, f"<{sender.addr_spec}>"
    shown = sender.display_name
    if not shown:
        return Finished(name, sender.addr_spec)
    if _ATOMS.fullmatch(shown) and _passes(shown):
        return Finished(name, _folded(f"{shown} {address}", begun))
    if _passes(shown) and begun + len(_quoted(shown)) <= _LINE:  # never folded: old readers end a quoted string there
        return Finished(name, _with_address(_quoted(shown), address, begun, _LINE))
    *lines, last = _encoded(shown, begun)
    return Finished(name, "\r\n ".join([*lines, _with_address(last, address, 1 if lines else begun, _ENCODED_LINE)]))


def _with_address(phrase: str, address: str, begun: int, limit: int) -> str:
    """Return the end of a phrase and the address, on one line where both fit."""
    return f"{phrase} {address}" if begun + len(phrase) + 1 + len(address) <= limit else f"{phrase}\r\n {address}"


def _passes(value: str) -> bool:
    """Return whether a text needs no encoding: an encoded word in it would be read as one."""
    return value.isascii() and "=?" not in value and _longest_piece(value) <= _LONGEST


def _longest_piece(value: str) -> int:
    return max((len(piece) for piece in _PIECE.findall(value)), default=len(value))


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _folded(value: str, begun: int) -> str:
    """Break ASCII text before blanks, which stay: unfolded, it is the same text."""
    lines, length = [""], begun
    for piece in _PIECE.findall(value):
        if lines[-1] and length + len(piece) > _LINE and piece.startswith(" "):
            lines.append("")
            length = 0
        lines[-1] += piece
        length += len(piece)
    return "\r\n".join(lines)


def _encoded(value: str, begun: int) -> list[str]:
    """Return encoded words, none of which divides a character; the first one's line has begun already."""
    pieces: list[bytes] = [b""]
    room = _octets(min(_WORD, _ENCODED_LINE - begun))
    for character in value:
        octets = character.encode("utf-8", "replace")
        if pieces[-1] and len(pieces[-1]) + len(octets) > room:
            pieces.append(b"")
            room = _octets(_WORD)
        pieces[-1] += octets
    return [f"{_BEGIN}{base64.b64encode(piece).decode()}{_END}" for piece in pieces]


def _octets(length: int) -> int:
    """Return how many octets fit into an encoded word of so many characters."""
    return (length - len(_BEGIN) - len(_END)) // 4 * 3
