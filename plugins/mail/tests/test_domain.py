"""Addresses, subjects and scrubbing."""

import time
from collections.abc import Callable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from galaxy_mail.domain import (
    _ADDRESS,
    check_subject,
    check_unsubscribe_url,
    comparable,
    envelope_of,
    parse_recipient,
    scrub,
)


@pytest.mark.parametrize(
    ("given", "address", "envelope"),
    [
        ("Ada@Example.COM", "Ada@example.com", "Ada@example.com"),
        ("ada@example.test", "ada@example.test", "ada@example.test"),
        ("ada@localhost", "ada@localhost", "ada@localhost"),
        ("ada@mail.LOCAL", "ada@mail.local", "ada@mail.local"),
        ("ada@relay", "ada@relay", "ada@relay"),
        ("ada@bücher.example", "ada@bücher.example", "ada@xn--bcher-kva.example"),
        ("ada@xn--bcher-kva.example", "ada@bücher.example", "ada@xn--bcher-kva.example"),
        ("ädä@example.com", "ädä@example.com", "ädä@example.com"),
    ],
)
def test_addresses_that_are_taken(given: str, address: str, envelope: str) -> None:
    """An address is kept readable, and its envelope has the domain in ASCII."""
    recipient = parse_recipient(given)
    assert (recipient.readable, recipient.envelope) == (address, envelope)
    assert envelope_of(recipient.readable) == envelope


@pytest.mark.parametrize(
    "address",
    [
        "",
        "ada",
        "@example.test",
        "ada@",
        "ada@@example.test",
        "Ada <ada@example.test>",
        "ada@example.test, eve@example.test",
        "ada lovelace@example.test",
        "ada@exa mple.test",
        "ada@[127.0.0.1]",
        '"ada"@example.test',
        "=?utf-8?q?x=0D=0ABcc=3A_eve?=@example.test",
        "ada\x00@example.test",
        "a" * 65 + "@example.test",
        "a@" + ".".join(["b" * 60] * 5) + ".test",
    ],
)
def test_addresses_that_are_refused(address: str) -> None:
    """Anything but a single address raises ValueError that names the field and does not quote it."""
    with pytest.raises(ValueError, match=r"^recipient: ") as caught:
        parse_recipient(address)
    assert len(address) < 4 or address not in str(caught.value)


@pytest.mark.parametrize(
    "address", ["ada@example.test\r\nBcc: eve@example.test", "ada\n@example.test", "\rada@example.test"]
)
def test_line_breaks_in_an_address_are_refused(address: str) -> None:
    """CR and LF in an address are refused by name."""
    with pytest.raises(ValueError, match="recipient: must not contain CR or LF"):
        parse_recipient(address)


@given(st.one_of(st.text(), st.text(alphabet="ab@.-+\"'<>(),:;[]\\ \t\r\n\x00\x85\u2028äß", max_size=40), st.emails()))
@example("a@b.test\x85Bcc:x@y.test")
def test_no_address_reaches_an_envelope_with_more_than_itself(address: str) -> None:
    """An accepted address has one @ outside, no space, bracket or control character, and fits a path."""
    try:
        recipient = parse_recipient(address)
    except ValueError:
        return
    for form in (recipient.readable, recipient.envelope):
        assert form.isprintable() and not set(form) & set(' <>"(),:;[]\\')
        assert form.count("@") == 1 and len(form.encode()) <= 254
    assert recipient.envelope.partition("@")[2].isascii()
    again = parse_recipient(recipient.readable)
    assert (again.readable, again.envelope) == (recipient.readable, recipient.envelope)


@pytest.mark.parametrize("subject", ["a\r\nBcc: eve@example.test", "a\nb", "a\r"])
def test_line_breaks_in_a_subject_are_refused(subject: str) -> None:
    """CR and LF in a subject are refused, naming the field."""
    with pytest.raises(ValueError, match="subject: must not contain CR or LF"):
        check_subject(subject)


@given(st.text())
def test_subjects_are_one_line(subject: str) -> None:
    """An accepted subject has no character that any library treats as a line break."""
    try:
        checked = check_subject(subject)
    except ValueError:
        assert "\r" in subject or "\n" in subject
    else:
        assert len(checked.splitlines()) <= 1 and checked == checked.strip()


@pytest.mark.parametrize(
    "url", [None, "https://a.test", "http://127.0.0.1:8080/x?y=z#%20", "https://a.test/".ljust(900, "x")]
)
def test_links_to_unsubscribe_that_are_taken(url: str | None) -> None:
    """Of http or https, or none."""
    assert check_unsubscribe_url(url) == url


@pytest.mark.parametrize(
    "url",
    [
        *("", "mailto:a@b.test", "ftp://a.test", "/off", "https://", "https://a.test/".ljust(901, "x")),
        *("https://a.test/ b", "https://a.test/\r\nX: y", "https://a.test/>", "https://a.test/<", "https://ä.test"),
        "https://a.test/=?utf-8?q?x=0D=0ABcc:_eve@x.test?=",
    ],
)
def test_links_to_unsubscribe_that_are_refused(url: str) -> None:
    """Whatever would end its header, or be read as something else there."""
    with pytest.raises(ValueError, match="^unsubscribe_url: "):
        check_unsubscribe_url(url)


def test_addresses_are_compared_normalised() -> None:
    """Two spellings of one address compare equal; other text is unchanged."""
    assert comparable(" ada@XN--bcher-kva.example") == comparable("ada@bücher.example")
    assert comparable("nonsense") == "nonsense"


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("5.1.1 <ada@example.test>: User unknown", "5.1.1 <address>: User unknown"),
        ("no such user ADA here", "no such user <address> here"),
        ("Canada is fine", "Canada is fine"),
        ("via eve@elsewhere.test;", "via <address>;"),
        ("4.7.1 greylisted", "4.7.1 greylisted"),
    ],
)
def test_scrubbing(said: str, kept: str) -> None:
    """A relay's reply is kept without the recipient's address, its local part, or any other address."""
    assert scrub(said, "ada@example.test") == kept


@given(st.text(), st.emails())
def test_scrubbed_text_has_no_recipient(text: str, address: str) -> None:
    """However an address is embedded, it does not survive scrubbing."""
    assert address.lower() not in scrub(f"{text}<{address}>{text}", address).lower()


@pytest.mark.parametrize("piece", ["a", "a@", "a.", "%", "a%", "'", '"', "a'", "<a", "a@b ", " ", ":a", "\n"])
def test_scrubbing_takes_linear_time(piece: str) -> None:
    """A text sixteen times as long takes about sixteen times as long, whatever it repeats."""
    assert growth(_ADDRESS.sub, piece) < 64


def growth(work: Callable[[str, str], object], piece: str) -> float:
    """Return how much longer `work` takes for a text sixteen times as long; quadratic would be 256."""

    def took(length: int) -> float:
        text, times = piece * (length // len(piece)), []
        for _ in range(5):
            begun = time.thread_time()
            work("", text)
            times.append(time.thread_time() - begun)
        return min(times)

    return took(64_000) / max(took(4_000), 20e-6)


def test_a_long_reply_is_cut_between_addresses() -> None:
    """A long reply is cut, and no half of an address is left at its end."""
    kept = scrub("ada@example.test," * 1000)
    assert len(kept) < 1000 and set(kept.split(",")) == {"<address>", ""}
    assert scrub("a" * 32_000) == "a" * 1000
