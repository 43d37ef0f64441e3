"""The bytes of a mail, read back by a parser of mails."""

import email
import email.policy
import re
from datetime import UTC, datetime
from email.headerregistry import Address
from email.message import EmailMessage

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from galaxy_contracts.formats import parse_address
from galaxy_kernel.api import Email
from galaxy_mail.domain import Rendered, check_subject, parse_recipient
from galaxy_mail.mime import compose

DATE = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)
SENDER = Address("Galaxy", "galaxy", "example.test")


def composed(
    *,
    to: str = "ada@example.test",
    subject: str = "Hello",
    text: str = "Hi\n",
    html: str = "<p>Hi</p>\n",
    name: str = "Galaxy",
    unsubscribe_url: str | None = None,
) -> bytes:
    return compose(
        Rendered(subject, text, html),
        sender=Address(name, "galaxy", "example.test"),
        recipient=parse_recipient(to).envelope,
        message_id="<id@example.test>",
        date=DATE,
        unsubscribe_url=unsubscribe_url,
    )


def parsed(content: bytes) -> EmailMessage:
    message = email.message_from_bytes(content, policy=email.policy.default)
    assert isinstance(message, EmailMessage)
    return message


def test_headers() -> None:
    """A mail has sender, recipient, time, id, and the mark that a machine wrote it."""
    message = parsed(composed())
    assert {name: str(message[name]) for name in ("From", "To", "Subject", "Message-ID", "Auto-Submitted")} == {
        "From": "Galaxy <galaxy@example.test>",
        "To": "ada@example.test",
        "Subject": "Hello",
        "Message-ID": "<id@example.test>",
        "Auto-Submitted": "auto-generated",
    }
    assert message["Date"].datetime == DATE


@pytest.mark.parametrize("to", ["ada@example.test", "ädä@example.test"])
@pytest.mark.parametrize("length", [20, 200, 900])
def test_one_click_unsubscribes(length: int, to: str) -> None:
    """A link of any length is one line between angle brackets, beside the header that allows a POST (RFC 8058)."""
    url = "https://play.test/".ljust(length, "x")
    content = composed(to=to, unsubscribe_url=url)
    assert f"\r\nList-Unsubscribe: <{url}>\r\n".encode() in content
    assert b"\r\nList-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n" in content
    assert max(map(len, content.split(b"\r\n"))) <= 998


def test_no_link_no_header() -> None:
    """A mail that cannot be switched off has neither header."""
    assert b"List-" not in composed()


def test_text_and_html_are_alternatives() -> None:
    """Text comes first and HTML last, as the richest form must (RFC 2046, section 5.1.4)."""
    message = parsed(composed(text="Grüße\n", html="<p>Grüße</p>\n"))
    assert message.get_content_type() == "multipart/alternative"
    parts = list(message.iter_parts())
    assert [part.get_content_type() for part in parts] == ["text/plain", "text/html"]
    assert [part.get_content() for part in parts if isinstance(part, EmailMessage)] == [
        "Grüße\r\n",
        "<p>Grüße</p>\r\n",
    ]


def test_every_relay_takes_the_bytes() -> None:
    """The bytes are ASCII in CRLF lines of at most 998 octets, also for texts that are neither."""
    content = composed(subject="ä" * 300, text="ö" * 5000 + "\n.\n.leading\n", html="<p>" + "x" * 5000 + "</p>")
    assert content.isascii()
    lines = content.split(b"\r\n")
    assert max(len(line) for line in lines) <= 998
    assert not any(b"\r" in line or b"\n" in line for line in lines)


def test_a_name_in_the_domain_goes_in_ascii() -> None:
    """A domain in Unicode is written as A-labels, so that no SMTPUTF8 is needed for it."""
    assert b"To: ada@xn--bcher-kva.example\r\n" in composed(to="ada@bücher.example")


def test_a_local_part_in_unicode_is_written_as_it_is() -> None:
    """An address that needs SMTPUTF8 is in the header in UTF-8 (RFC 6532)."""
    assert "To: ädä@example.test\r\n".encode() in composed(to="ädä@example.test")


def test_same_input_same_id_and_date() -> None:
    """Two composings differ in nothing but the boundary between the parts."""
    first, second = (re.sub(rb"=+\d+==", b"boundary", composed()) for _ in range(2))
    assert first == second


@settings(deadline=None, max_examples=100)
@given(subject=st.text(max_size=200), name=st.text(max_size=60), text=st.text(max_size=500), to=st.emails())
@example(subject="a\x0bBcc: eve@x.test", name="", text="", to="a@b.test")
@example(subject="a\x85Bcc: eve@x.test\u2028\u2029", name="\x1c\x1d\x1e", text=".\r\n.\r\n", to="a@b.test")
@example(subject="=?utf-8?q?x=0D=0ABcc:_eve@x.test?=", name='a,b <c>;"', text="From x\r\nTo: y", to="a@b.test")
@example(subject="x", name="", text="", to="=?utf-8?q?x=0D=0ABcc=3A_eve?=@x.test")
def test_nobody_injects_a_header(subject: str, name: str, text: str, to: str) -> None:
    """For any subject, sender's name and text, the headers are those of every mail, each once."""
    try:
        subject = check_subject(subject)
        recipient = parse_recipient(to)
    except ValueError:
        return
    if not name.isprintable() or "=?" in name:
        name = ""  # the settings refuse it
    message = parsed(composed(to=to, subject=subject, name=name, text=text))
    assert sorted(key.lower() for key in message) == sorted(
        [
            "from",
            "to",
            "subject",
            "date",
            "message-id",
            "auto-submitted",
            "x-auto-response-suppress",
            "mime-version",
            "content-type",
        ]
    )
    assert [address.addr_spec for address in message["To"].addresses] == [recipient.envelope]
    assert message["From"].addresses[0].addr_spec == SENDER.addr_spec


@given(
    st.one_of(
        st.emails(),
        st.builds("{}@{}.test".format, st.text(min_size=1, max_size=64), st.from_regex(r"[a-z]{1,60}", fullmatch=True)),
        st.builds(
            lambda local, label: f"{local}@{'.'.join([label] * 3)}",
            st.text("ab.-+'!#$%&*/=?^_`{|}~ä", min_size=1, max_size=64),
            st.from_regex(r"[a-z]{1,60}|bücher|中文", fullmatch=True),
        ),
    )
)
@example("a" * 64 + "@" + ".".join(["b" * 60] * 3) + ".test")
@example("ä" * 32 + "@" + ".".join(["bücher"] * 9) + ".test")
def test_whoever_can_sign_in_can_be_written_to(typed: str) -> None:
    """Sign-in and mail accept the same addresses, and an accepted one is the only recipient of its mail."""
    try:
        signed_in = TypeAdapter(Email).validate_python(typed)
    except ValidationError:
        with pytest.raises(ValueError, match=r"^recipient: "):
            parse_recipient(typed)
        return
    kept = parse_address(signed_in).typed
    recipient = parse_recipient(kept).envelope
    raw = composed(to=kept)
    [read] = [address.addr_spec for address in parsed(raw)["To"].addresses]
    assert read.encode(errors="surrogateescape").decode() == recipient
    assert max(map(len, raw.split(b"\r\n"))) <= 998


@pytest.mark.parametrize("subject", ["=?utf-8?q?x=0D=0ABcc:_eve@x.test?=", "=?utf-8?b?eA0KQmNjOiBlQHgudGVzdA==?="])
def test_encoded_words_are_stopped_twice(subject: str) -> None:
    """An encoded word that hides a header is only text here too, and broken up before."""
    message = parsed(composed(subject=subject))
    assert message["Subject"] == subject and "Bcc" not in message
    assert parsed(composed(subject=check_subject(subject)))["Subject"] == subject.replace("=?", "= ?")


@pytest.mark.parametrize("to", ["ada@x.test\r\nBcc: eve@x.test", "ada@x.test\nBcc: eve@x.test"])
def test_line_breaks_are_stopped_twice(to: str) -> None:
    """A header that contains another one is refused here too, whatever let it pass."""
    with pytest.raises(ValueError, match=r"headers: must be one line each|newline"):
        compose(Rendered("x", "", ""), sender=SENDER, recipient=to, message_id="<i@x.test>", date=DATE)


@pytest.mark.parametrize("local", ["g" * 60, "ä" * 30])
def test_long_addresses_and_ids_stay_whole(local: str) -> None:
    """No header is folded within an address or an id, however long a domain is."""
    domain = f"{'b' * 60}.{'c' * 60}.{'d' * 50}.test"
    message_id = f"<{'0' * 36}@{domain}>"
    sender = Address("Galaxy", "galaxy", domain)
    content = compose(
        Rendered("x", "", ""), sender=sender, recipient=f"{local}@{domain}", message_id=message_id, date=DATE
    )
    for header in (f"To: {local}@{domain}", f"Message-ID: {message_id}", f" <galaxy@{domain}>"):
        assert f"{header}\r\n".encode() in content
