"""Headers as they are written, read back by decoders of our own and by old ones."""

import base64
import email
import re
from email.headerregistry import Address
from email.utils import getaddresses

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from galaxy_mail.headers import Finished, mailbox, text
from galaxy_mail.settings import sender_of

ENCODED = re.compile(r"=\?utf-8\?b\?([A-Za-z0-9+/=]+)\?=")
IMAGE = "An engine image cannot be pulled: registry.example.org/games/space-conquest@sha256:" + "0123456789abcdef" * 4


def decoded(written: str) -> str:
    """Read a header by RFC 2047, section 6.2: blanks between encoded words are not text."""
    joined = re.sub(r"(=\?[^?]*\?b\?[^?]*\?=)\r\n (?==\?)", r"\1", written).replace("\r\n", "")
    return re.sub(
        rf"(?:{ENCODED.pattern})+",
        lambda run: b"".join(base64.b64decode(word) for word in ENCODED.findall(run[0])).decode(),
        joined,
    )


def check_words(header: Finished) -> None:
    """Check every encoded word and every line (RFC 2047, section 2; RFC 5322, section 2.1.1)."""
    lines = f"{header.name}: {header}".split("\r\n")
    assert all(line.strip() for line in lines) and all(line.startswith(" ") for line in lines[1:])
    for line in lines:
        assert len(line) <= (76 if "=?" in line else 998) and line.isascii() and "?==?" not in line
        for word in line.split():
            if word.startswith("=?"):
                assert ENCODED.fullmatch(word) and len(word) <= 75
                base64.b64decode(ENCODED.fullmatch(word)[1]).decode()  # type: ignore[index]


SUBJECTS = st.one_of(
    st.text("abcXYZ019:/@.-", max_size=300),
    st.text("ab c  ", max_size=300),
    st.text("aä öüß ", max_size=300),
    st.text("ж и", max_size=300),
    st.text("😀👩\u200d🚀 a", max_size=300),
    st.text(st.characters(categories=["L", "N", "P", "S", "Zs"]), max_size=300),
    st.text("a", min_size=850, max_size=1100),
)


@given(SUBJECTS)
@example(IMAGE)
@example(" a  b ")
@example("ä")
@example("")
def test_subjects_are_read_as_they_were(given: str) -> None:
    """A subject is written in words and lines of the lengths allowed, and read back unchanged."""
    subject = " ".join(given.split(" ")).strip().replace("=?", "= ?")
    header = text("Subject", subject)
    check_words(header)
    assert decoded(str(header)) == subject
    if subject.isascii() and max(map(len, subject.split(" "))) <= 800 and len(subject) <= 800:
        assert "=?" not in header


NAMES = st.one_of(
    st.text('a ,.<>()@:;"\\', min_size=1, max_size=200),
    st.text('ab ä,.<>()@:;"\\ж', min_size=1, max_size=200),
    st.text("ab c", min_size=1, max_size=200),
    st.text("a,", min_size=400, max_size=1100),
)


@given(NAMES, st.sampled_from(["g@example.org", f"{'g' * 60}@{'b' * 60}.{'c' * 60}.example.org"]))
@example(
    "A very long name, with commas, and <brackets>, which goes on and on beyond the seventy-eighth column", "g@x.test"
)
def test_a_sender_is_one_mailbox(name: str, address: str) -> None:
    """Whatever its name, the sender is one mailbox with our address, also for readers that know no encoded words."""
    escaped = name.replace("\\", "\\\\").replace('"', '\\"')
    try:
        sender = sender_of(f'"{escaped}" <{address}>')
    except ValueError:
        return
    header = mailbox("From", sender)
    check_words(header)
    old = email.message_from_string(f"From: {header}\n\n")["From"]
    [(shown, read)] = getaddresses([old])
    assert read == address
    if "=?" not in header:
        assert " ".join(shown.split()) == " ".join(sender.display_name.split())
    else:
        assert decoded(str(header)).startswith(sender.display_name)


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("Galaxy", "Galaxy <g@x.test>"),
        ("Galaxy Mail", "Galaxy Mail <g@x.test>"),
        ("Galaxy  Mail", '"Galaxy  Mail" <g@x.test>'),
        ("Galaxy, Inc.", '"Galaxy, Inc." <g@x.test>'),
        ('The "G"', '"The \\"G\\"" <g@x.test>'),
        ("Galaxié", "=?utf-8?b?R2FsYXhpw6k=?= <g@x.test>"),
        ("", "g@x.test"),
    ],
)
def test_names_are_as_plain_as_they_can_be(name: str, written: str) -> None:
    """A name is quoted or encoded only where it must be."""
    assert mailbox("From", Address(name, "g", "x.test")) == written


def test_ascii_text_is_folded_at_its_blanks() -> None:
    """ASCII text breaks before a blank at 78 characters, and a long word stays whole."""
    first, second = str(text("Subject", IMAGE)).split("\r\n")
    assert first == "An engine image cannot be pulled:" and first + second == IMAGE
