"""Dice that fall the same everywhere: SHA-256 instead of a generator, integers instead of floats."""

import hashlib


class Dice:
    """A row of throws, determined by its label alone.

    Throw n reads the first 8 bytes of SHA-256 of `label#n` (UTF-8, n from 0) as a big-endian integer. A value that
    would favour some faces is rejected, and the next n is read instead.
    """

    def __init__(self, label: str) -> None:
        self._label = label
        self._throws = 0

    def below(self, bound: int) -> int:
        """Return an integer from 0 to `bound`, without `bound` itself, each as likely as any other."""
        fair = 2**64 - 2**64 % bound
        while True:
            digest = hashlib.sha256(f"{self._label}#{self._throws}".encode()).digest()
            self._throws += 1
            value = int.from_bytes(digest[:8], "big")
            if value < fair:
                return value % bound

    def between(self, low: int, high: int) -> int:
        """Return an integer from `low` to `high`, both included."""
        return low + self.below(high - low + 1)
