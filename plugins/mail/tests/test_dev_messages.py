import json
import time
from email.message import EmailMessage

import pytest
from hypothesis import given
from hypothesis import strategies as st

from galaxy_mail.dev.messages import PART_LIMIT, _visible, envelope, summarise, view


def mail(*, text: str | None = None, html: str | None = None, **headers: str) -> bytes:
    message = EmailMessage()
    for name, value in headers.items():
        message[name] = value
    if text is not None:
        message.set_content(text)
    if html is not None:
        message.add_alternative(html, subtype="html")
    return message.as_bytes()


PIECES = [
    *(b"Subject: ", b"From: ", b"To: ", b"Content-Type: ", b"Content-Transfer-Encoding: ", b"multipart/mixed; "),
    *(b"boundary=b", b"text/html; charset=", b"text/plain", b"message/rfc822", b"utf-7", b"undefined", b"zip"),
    *(b"base64", b"quoted-printable", b"x-uuencode", b"--b", b"--b--", b"\r\n", b"\n", b"\r\n\r\n"),
    *(b"=?utf-8?b?4?=", b"=?nope?q?=FF?=", b"\xff\xfe", b"\0", b"<script>", b"=", b"a" * 80),
]
"""Parts of mails, well formed and broken."""


@given(st.lists(st.sampled_from(PIECES) | st.binary(max_size=8), max_size=40).map(b"".join))
def test_no_bytes_break_it(content: bytes) -> None:
    """Any bytes are read as a mail, and the result can be encoded as JSON."""
    summary, shown = summarise(content), view(content)
    assert json.dumps([summary.subject, summary.sender, summary.recipients, shown.headers, shown.text, shown.html])
    assert "\n" not in summary.subject + summary.sender


def test_reads_both_parts_and_the_headers() -> None:
    """Text, HTML and decoded headers of an ordinary mail are found."""
    content = mail(text="hällo\n", html="<p>hällo</p>", Subject="Grüße 🚀", From="Ada <ada@example.test>")
    shown = view(content)
    assert (shown.text, shown.html.strip()) == ("hällo\n", "<p>hällo</p>")
    assert ("Subject", "Grüße 🚀") in shown.headers
    assert not shown.truncated
    assert summarise(content).subject == "Grüße 🚀"


def test_recipients_are_those_of_the_envelope() -> None:
    """The recipients are those of the envelope, Bcc included, not those of the headers."""
    content = envelope("s@example.test", ["a@example.test", "b@example.test"]) + mail(text="x", To="other@example.test")
    assert summarise(content).recipients == ("a@example.test", "b@example.test")
    assert summarise(content).sender == "<s@example.test>"


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("Your code:\n\n    12345678\n", "12345678"),
        ("Your code is 1234 5678.", "12345678"),
        ("1234-5678", "12345678"),
        ("1234\u202f5678", "12345678"),
        ("call 123456789", None),
        ("order 1234567", None),
        ("see https://example.test/12345678", None),
        ("id a12345678", None),
        ("2026-1234-5678-90", None),
        ("total 12345678.50", None),
    ],
)
def test_code(text: str, code: str | None) -> None:
    """A code is eight digits that stand alone, in one group or two."""
    assert summarise(mail(text=text)).code == code


def test_code_of_html_and_of_the_subject() -> None:
    """Without text, the code comes from the visible HTML, else from the subject; not from style sheets."""
    assert summarise(b"Content-Type: text/html\n\n<style>a{x:11112222}</style><b>3333&nbsp;4444</b>").code == "33334444"
    assert summarise(mail(text="hello", Subject="5555 6666 is your code")).code == "55556666"


@pytest.mark.parametrize("charset", ["no-such", "zip", "undefined", "hex", "utf-16"])
def test_odd_charset(charset: str) -> None:
    """An unknown charset costs some characters and not the mail."""
    content = (
        b"Content-Type: text/plain; charset=" + charset.encode() + b"\nSubject: =?" + charset.encode() + b"?q?x?=\n\nhi"
    )
    assert isinstance(view(content).text, str)
    assert isinstance(summarise(content).subject, str)


def test_deep_nesting() -> None:
    """Parts nested deeper than the parser goes leave the headers."""
    parts = [f'Content-Type: multipart/mixed; boundary="{n}"\n\n--{n}\n' for n in range(2000)]
    content = b"Subject: deep\n" + "".join(parts).encode() + b"\nhello"
    assert summarise(content).subject == "deep"
    assert ("Subject", "deep") in view(content).headers


def test_large_mail_is_cut() -> None:
    """Of a mail of 10 MB the beginning is shown."""
    shown = view(mail(text="x" * 76 + "\n") + b"y" * 10_000_000)
    assert len(shown.source) == PART_LIMIT
    assert len(shown.text) <= PART_LIMIT
    assert shown.truncated


def test_attachment_is_no_text() -> None:
    """An attachment is not used as the mail's text."""
    message = EmailMessage()
    message.set_content("<b>body</b>", subtype="html")
    message.add_attachment("attached", filename="a.txt")
    assert view(message.as_bytes()).text == ""


def test_hidden_elements_end_where_they_end() -> None:
    """Hidden elements go with their content; one without an end is only a tag."""
    html = "<head><title>no</title></head>a<STYLE>no</style >b<script>no</script>c<title>d<style>e&lt;"
    assert _visible(html).split() == ["a", "b", "c", "d", "e<"]


@pytest.mark.parametrize("piece", ["<", "<style", "<style>", "</style", "<style></style>", "<a ", "<title><head>"])
def test_html_is_read_in_linear_time(piece: str) -> None:
    """HTML sixteen times as long takes about sixteen times as long, whatever it repeats; quadratic would be 256."""

    def took(length: int) -> float:
        html, times = piece * (length // len(piece)), []
        for _ in range(5):
            before = time.thread_time()
            _visible(html)
            times.append(time.thread_time() - before)
        return min(times)

    assert took(160_000) < 64 * max(took(10_000), 20e-6)
