"""Codes, tokens, keys and the arithmetic of throttles."""

import base64
import random
import re
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from galaxy_auth import domain
from galaxy_auth.domain import Sent, wait_for

NOW = datetime(2030, 1, 1, tzinfo=UTC)
SEPARATORS = st.text(" \t\n-\u00a0\u2009\u2010\u2011\u2012\u2013\u2014\u2212", max_size=3)


def test_code_keeps_leading_zeros() -> None:
    """A code has eight digits even when the number drawn is small."""

    class Low(random.Random):
        def randrange(self, *bounds: int) -> int:  # type: ignore[override]
            return 42

    assert domain.new_code(Low()) == "00000042"
    assert domain.spaced("00000042") == "0000 0042"


def test_codes_cover_the_whole_range() -> None:
    """Codes are drawn from all numbers of eight digits: every first digit comes about equally often."""
    firsts = [domain.new_code(random.Random(seed))[0] for seed in range(2000)]
    assert all(120 < firsts.count(digit) < 290 for digit in "0123456789")


@given(st.from_regex(r"[0-9]{8}", fullmatch=True), st.lists(SEPARATORS, min_size=9, max_size=9))
def test_code_is_read_however_it_is_spaced(code: str, between: list[str]) -> None:
    """Spaces, hyphens and dashes around and between the digits do not matter."""
    typed = between[0] + "".join(digit + gap for digit, gap in zip(code, between[1:], strict=True))
    assert domain.parse_code(typed) == code
    assert domain.parse_code(domain.spaced(code)) == code


@given(st.text(max_size=12))
def test_code_total(typed: str) -> None:
    """Any text is read as eight ASCII digits or refused."""
    try:
        code = domain.parse_code(typed)
    except ValueError:
        return
    assert re.fullmatch("[0-9]{8}", code)


@pytest.mark.parametrize("typed", ["", "1234567", "123456789", "1234567x", "１２３４５６７８", "+1234567", "1.234.567"])
def test_code_refuses(typed: str) -> None:
    """Anything but eight ASCII digits is refused."""
    with pytest.raises(ValueError, match="8 digits"):
        domain.parse_code(typed)


def test_code_hash_is_bound_to_key_and_challenge() -> None:
    """The same code looks different under another key and for another challenge."""
    one, other = uuid4(), uuid4()
    hashes = {domain.code_hash(key, each, "12345678") for key in (b"a", b"b") for each in (one, other)}
    assert len(hashes) == 4


def test_token_holds_256_random_bits() -> None:
    """A token is its prefix and 32 random bytes in URL-safe base64."""
    drawn = random.Random(7).getrandbits(256).to_bytes(32, "big")
    token = domain.new_token(random.Random(7))
    assert len(token) == domain.TOKEN_LENGTH
    assert re.fullmatch(r"gxs_[A-Za-z0-9_-]{43}", token)
    assert base64.urlsafe_b64decode(token.removeprefix("gxs_") + "=") == drawn


def test_challenge_id_is_random() -> None:
    """A challenge's id is a UUID of version 4, which does not depend on the time."""
    assert domain.new_challenge_id(random.Random(1)).version == 4
    assert isinstance(domain.new_challenge_id(random.Random(1)), UUID)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("192.0.2.1", "::ffff:192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff:ffff:ffff:ffff", True),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
        ("unknown", "unknown", True),
        ("unknown", "", False),
    ],
)
def test_client_key_counts_networks(one: str, other: str, same: bool) -> None:
    """IPv4 counts by address, IPv6 by /64, and an address in both notations once."""
    assert (domain.client_key(b"key", one) == domain.client_key(b"key", other)) is same


def test_keys_of_addresses_and_clients_never_meet() -> None:
    """An address and a client that read alike are counted apart."""
    assert domain.address_key(b"key", "x") != domain.client_key(b"key", "x")


AGO = st.none() | st.timedeltas(timedelta(0), timedelta(days=2))


@given(AGO, AGO, AGO, st.timedeltas(timedelta(0), timedelta(hours=1)))
def test_wait_is_exact(
    newest: timedelta | None, address: timedelta | None, client: timedelta | None, interval: timedelta
) -> None:
    """Right after the wait no throttle applies, and a moment before one did."""
    sent = Sent(*(None if ago is None else NOW - ago for ago in (newest, address, client)))
    wait = wait_for(sent, NOW, interval)
    assert wait >= timedelta(0)
    assert wait_for(sent, NOW + wait, interval) == timedelta(0)
    if wait:
        assert wait_for(sent, NOW + wait - timedelta(microseconds=1), interval) > timedelta(0)
