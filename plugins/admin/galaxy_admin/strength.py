"""Which passwords operators may choose (NIST SP 800-63B, 5.1.1.2; OWASP ASVS 5.0, 6.2)."""

from functools import cache
from importlib.resources import files
from itertools import pairwise

from galaxy_admin.domain import CONTROL, fold

SHORTEST_PASSWORD = 12
"""Characters; NIST asks for at least 8, and more where there is no second factor."""
_FEWEST_CHARACTERS = 5
"""Different ones."""
_RUN = 4
"""Characters that a run has on average in a password of nothing but runs, such as `1234qwer7890`."""
_ROWS = ("qwertyuiop", "qwertzuiop", "azertyuiop", "asdfghjkl", "qsdfghjklm", "zxcvbnm", "yxcvbnm", "1234567890")


def check_password(password: str, username: str) -> None:
    """Raise ValueError, with a message for the person who chose it, for a password that is guessed first."""
    name, folded = fold(username), fold(password)
    if len(password) < SHORTEST_PASSWORD:
        raise ValueError(f"must have at least {SHORTEST_PASSWORD} characters")
    if name and name in folded:
        raise ValueError("must not contain the user name")
    if CONTROL.search(password):
        raise ValueError("must not contain control characters, which HTTP Basic cannot carry")
    if folded in _common() or len(set(folded)) < _FEWEST_CHARACTERS or _repeats(folded) or _runs(folded):
        raise ValueError("must not be one that is guessed first: common, repeated, or a row of keys")


@cache
def _common() -> frozenset[str]:
    """Return the passwords of 12 characters and more among the 50,000 most common ones.

    Drawn from the lists of Django (BSD) and zxcvbn (MIT).
    """
    return frozenset((files("galaxy_admin") / "common_passwords.txt").read_text("utf-8").split("\n"))


def _repeats(text: str) -> bool:
    """Return whether a text is one part again and again, the last time perhaps cut short."""
    return any(text == (text[:length] * len(text))[: len(text)] for length in range(1, len(text) // 2 + 1))


def _runs(text: str) -> bool:
    """Return whether a text is made of few runs: neighbours in the alphabet, in a row of keys, or the same."""
    return (1 + sum(not _neighbours(one, other) for one, other in pairwise(text))) * _RUN <= len(text)


def _neighbours(one: str, other: str) -> bool:
    if abs(ord(one) - ord(other)) <= 1:
        return True
    return any(one + other in row or other + one in row for row in _ROWS)
