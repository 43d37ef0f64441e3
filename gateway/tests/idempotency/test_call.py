"""Identity and fingerprint of a call."""

from dataclasses import replace
from typing import Any

import pytest

from galaxy_gateway.idempotency.call import Call
from galaxy_gateway.store.names import Names

CALL = Call("k", "POST", "/api/v1/user/games?x=1", "me", "203.0.113.7", "application/json", b"{}")
NAMES = Names(b"secret")


@pytest.mark.parametrize(
    "change",
    [
        *({"key": "other"}, {"method": "PUT"}, {"target": "/api/v1/user/games"}, {"account_id": "you"}),
        {"account_id": None},
    ],
)
def test_another_call_has_another_name(change: dict[str, Any]) -> None:
    """Key, method, path with query and account tell calls apart."""
    assert replace(CALL, **change).name(NAMES) != CALL.name(NAMES)


def test_an_account_is_the_same_anywhere() -> None:
    """A player who changes from one network to another repeats the same call."""
    assert replace(CALL, address="198.51.100.9").name(NAMES) == CALL.name(NAMES)


def test_a_public_call_counts_for_its_address() -> None:
    """Two addresses share no key, and an account called like an address is not that address."""
    public = replace(CALL, account_id=None)
    assert public.name(NAMES) != replace(public, address="198.51.100.9").name(NAMES)
    assert public.name(NAMES) != replace(CALL, account_id="203.0.113.7").name(NAMES)


def test_body_and_content_type_make_the_fingerprint() -> None:
    """Nothing may be moved from the one to the other; the rest is part of the name."""
    assert replace(CALL, body=b"{ }").fingerprint != CALL.fingerprint
    assert replace(CALL, content_type="text/plain").fingerprint != CALL.fingerprint
    assert (
        replace(CALL, content_type="a", body=b"bc").fingerprint
        != replace(CALL, content_type="ab", body=b"c").fingerprint
    )
    assert replace(CALL, key="other", address="x").fingerprint == CALL.fingerprint


def test_the_path_is_without_query() -> None:
    """The query is part of the target alone."""
    assert CALL.path == "/api/v1/user/games"
