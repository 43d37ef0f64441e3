"""What an account starts with, what is left of it, and how a profile changes. No I/O."""

import random
from typing import Literal, TypedDict

AccountState = Literal["active", "blocked", "deleted"]

MAX_REASON = 500
"""Characters of the reason of a block."""

DELETED_NAME = "Deleted player"
"""What others see in the place of a deleted account's display name."""

_LETTERS = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"
"""No 0, 1, I and O, which are taken for one another."""


class ProfileChange(TypedDict, total=False):
    """The fields of a profile that are to change, checked already."""

    display_name: str
    language: str
    time_zone: str


def first_display_name(source: random.Random) -> str:
    """Return the name of a new account until its player chooses one: nothing in it comes from the address."""
    return "Player-" + "".join(source.choices(_LETTERS, k=4))
