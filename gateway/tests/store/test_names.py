"""Names of what the store keeps."""

import re

from hypothesis import given
from hypothesis import strategies as st

from galaxy_gateway.store.names import Names

NAMES = Names(b"secret")
parts = st.lists(st.text(st.characters(codec="utf-8"), max_size=5), max_size=4)


@given(parts, parts)
def test_different_parts_have_different_names(left: list[str], right: list[str]) -> None:
    """The parts count one by one: nothing that stands in one of them can make another list of them."""
    assert (NAMES.of("limit", *left) == NAMES.of("limit", *right)) == (left == right)


def test_a_name_shows_its_kind_alone() -> None:
    """Neither the address nor the account can be read in it, and any characters may stand in the parts."""
    name = NAMES.of("limit", "account", "2001:db8::/64", "\udcff")
    assert re.fullmatch("galaxy:limit:[0-9a-f]{40}", name)


def test_names_depend_on_secret_and_kind() -> None:
    """Who does not know the secret cannot find a name by trying all addresses."""
    assert Names(b"other").of("limit", "203.0.113.7") != NAMES.of("limit", "203.0.113.7")
    assert NAMES.of("idempotency", "a")[-40:] != NAMES.of("limit", "a")[-40:]


def test_gateways_with_one_secret_agree() -> None:
    """A name is the same in every process."""
    assert Names(b"secret").of("limit", "a", "b") == NAMES.of("limit", "a", "b")
