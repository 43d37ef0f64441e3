"""The initial values of an account, the remains of a deleted one, and changes of a profile. No I/O."""

import random
from typing import Literal, TypedDict

AccountState = Literal["active", "blocked", "deleted"]

MAX_REASON = 500
"""Characters of the reason of a block."""

DELETED_NAME = "Deleted player"
"""Shown to others in place of a deleted account's display name."""

_LETTERS = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"
"""Without 0, 1, I and O, which are easily confused."""


class ProfileChange(TypedDict, total=False):
    """The fields of a profile to change, already checked."""

    display_name: str
    language: str
    time_zone: str


def first_display_name(source: random.Random) -> str:
    """Return the name of a new account until its player chooses one: nothing in it comes from the address."""
    return "Player-" + "".join(source.choices(_LETTERS, k=4))
