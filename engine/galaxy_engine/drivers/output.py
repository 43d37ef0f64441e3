"""What engines write is untrusted text of any size: the tail of it, safe for a terminal, a page and a log."""

import re

_UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]")
"""Control characters but for tab and line feed, and those that turn the direction or the line of what follows."""


def clean(output: bytes, tail: int) -> str:
    """Return the last `tail` bytes as text without control characters; a character cut in half is left out."""
    kept = output[-tail:] if tail > 0 else b""
    if len(kept) < len(output):
        kept = kept.lstrip(bytes(range(0x80, 0xC0)))  # the rest of a character whose first byte was cut off
    return _UNSAFE.sub("", kept.decode("utf-8", "replace"))
