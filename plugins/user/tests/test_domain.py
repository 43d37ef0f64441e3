"""The initial values of accounts."""

import random
from collections import Counter

from galaxy_user.domain import first_display_name


def test_first_display_name_says_nothing() -> None:
    """The first name is drawn from letters that are not easily confused, and fits the rule for names."""
    names = [first_display_name(random.Random(seed)) for seed in range(500)]
    assert all(len(name) == 11 and name.startswith("Player-") for name in names)
    assert not set("".join(name[7:] for name in names)) & set("01IOl")
    assert Counter(names).most_common(1)[0][1] <= 2
