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
from galaxy_auth.domain import Sent, refusal

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


@pytest.mark.parametrize(
    "typed",
    [
        "1234\u200b5678",
        "1234\u20605678",
        "\ufeff12345678",
        "\u202a12345678\u202c",
        "\u2066\u200e1234 5678\u2069",
        "1234\u00ad5678",
        "１２３４５６７８",
        "１２３４\u3000５６７８",
        "\u0661\u0662\u0663\u0664\u0665\u0666\u0667\u0668",
        "1\ufe0f2345678",
    ],
)
def test_pasted_codes_are_read(typed: str) -> None:
    """Characters that nobody sees are dropped, and digits of every script are digits."""
    assert domain.parse_code(typed) == "12345678"


@pytest.mark.parametrize(
    "typed",
    [
        "",
        "1234567",
        "123456789",
        "1234567x",
        "+1234567",
        "1.234.567",
        "1234,5678",
        "\u200b" * 8,
        "1234567½",
        "1234567\u4e00",
    ],
)
def test_code_refuses(typed: str) -> None:
    """Letters, dots and another number of digits are refused."""
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
        ("192.0.2.1", "::ffff:192.0.2.1", "client site network"),
        ("192.0.2.1", "192.0.2.2", "network"),
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff:ffff:ffff:ffff", "client site network"),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", "site network"),
        ("2001:db8:1:2::1", "2001:db8:1:ff::1", "site network"),
        ("2001:db8:1:2::1", "2001:db8:1:100::1", "network"),
        ("2001:db8:1:2::1", "2001:db8:2:2::1", ""),
        ("unknown", "unknown", "client site network"),
        ("unknown", "", ""),
    ],
)
def test_client_keys_count_networks(one: str, other: str, same: str) -> None:
    """IPv4 counts by address and /24, IPv6 by /64, /56 and /48, and an address in both notations once."""
    keys, others = domain.client_keys(b"key", one), domain.client_keys(b"key", other)
    assert [name for name in keys._fields if getattr(keys, name) == getattr(others, name)] == same.split()


def test_keys_of_addresses_mailboxes_and_clients_never_meet() -> None:
    """What reads alike is counted apart, and so are the networks of one IPv4 address."""
    keys = (domain.address_key(b"key", "x@y"), domain.mailbox_key(b"key", "x@y"), *domain.client_keys(b"key", "x@y"))
    assert len(set(keys)) == 5


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("ada+1@example.test", "ada@example.test", True),
        ("ada+1+2@example.test", "ada+3@example.test", True),
        ("ada+@example.test", "ada@example.test", True),
        ("ada+1@example.test", "ada+1@example.org", False),
        ("+1@example.test", "+2@example.test", False),
        ("a.da@example.test", "ada@example.test", False),
    ],
)
def test_tags_make_no_mailbox(one: str, other: str, same: bool) -> None:
    """Addresses that differ in their tag alone are one mailbox; a local part that is all tag stays whole."""
    assert (domain.mailbox_key(b"key", one) == domain.mailbox_key(b"key", other)) is same


AGO = st.none() | st.timedeltas(timedelta(0), timedelta(days=2))
STRANGER = ("newest", "here", "strangers", "client", "site", "network", "everybody")
OWN = ("own_newest", "own_here")


@given(
    st.booleans(),
    st.fixed_dictionaries(dict.fromkeys((*STRANGER, *OWN), AGO)),
    st.timedeltas(timedelta(0), timedelta(hours=1)),
)
def test_wait_is_exact(known: bool, ago: dict[str, timedelta | None], interval: timedelta) -> None:
    """Right after the wait no throttle applies, and a moment before one did."""
    sent = Sent(known, **{name: None if value is None else NOW - value for name, value in ago.items()})
    refused = refusal(sent, NOW, interval)
    if refused is None:
        return
    name, wait = refused
    assert (name in OWN, wait > timedelta(0)) == (known, True)
    assert refusal(sent, NOW + wait, interval) is None
    assert refusal(sent, NOW + wait - timedelta(microseconds=1), interval) is not None


@given(st.fixed_dictionaries(dict.fromkeys((*STRANGER, "wrong"), AGO)))
def test_what_strangers_do_is_nothing_to_a_known_site(ago: dict[str, timedelta | None]) -> None:
    """Whatever others requested, a site that signed in lately gets its code, with all attempts."""
    sent = Sent(True, **{name: None if value is None else NOW - value for name, value in ago.items()})
    assert refusal(sent, NOW, timedelta(hours=1)) is None
    assert domain.tries_allowed(sent) == domain.MAX_TRIES


@pytest.mark.parametrize("known", [True, False])
def test_a_time_in_the_future_heals(known: bool) -> None:
    """A row written under a wrong clock holds nobody up for longer than the throttle's own length."""
    future = NOW + timedelta(hours=1)
    sent = Sent(known, newest=future, own_newest=future)
    refused = refusal(sent, NOW, timedelta(seconds=60))
    assert refused is not None
    assert refused[1] == timedelta(seconds=60)


@pytest.mark.parametrize(("known", "wrong", "tries"), [(True, NOW, 5), (False, NOW, 2), (False, None, 5)])
def test_attempts_of_a_new_challenge(known: bool, wrong: datetime | None, tries: int) -> None:
    """While very many codes are wrong a stranger's challenge has two attempts."""
    assert domain.tries_allowed(Sent(known, wrong=wrong)) == tries
