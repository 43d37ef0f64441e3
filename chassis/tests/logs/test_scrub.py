"""What is taken out of log lines, and what is kept."""

import json
import logging
import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from galaxy_chassis.logs import (
    email_hash,
    scrub_text,
)
from galaxy_chassis.logs.render import render_json

TOKEN = "gxs_" + "aB3-" * 10 + "xyz"
"""A session token."""


def rendered(**fields: Any) -> dict[str, Any]:
    """Render one line and read it."""
    line: dict[str, Any] = json.loads(render_json("info", dict(fields)))
    return line


_LOCAL = st.from_regex(r"[a-z0-9]([a-z0-9._+'-]{0,20}[a-z0-9])?", fullmatch=True).filter(
    lambda local: "''" not in local and local.count("'") < 3 and ".'" not in local and "'." not in local
)


_DOMAIN = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?(\.[a-z]{2,8}){0,2}", fullmatch=True)
ADDRESSES = st.builds("{}@{}".format, _LOCAL, _DOMAIN).filter(lambda address: "@sha" not in address)
AROUND = st.sampled_from(
    (
        "{}",
        "to {}.",
        "<{}>",
        "Key (email)=({}) already exists.",
        "{{'email': '{}'}}",
        '"{}",',
        "a;{};b",
        "\n{}\n",
        "[{}]",
    )
)


@settings(deadline=None, max_examples=60)  # other load on the machine is not a failure
@given(ADDRESSES, AROUND)
def test_an_address_becomes_its_hash(address: str, around: str) -> None:
    """An e-mail address in any text becomes `email:<hash>`, the same hash in whatever case."""
    for typed in (address, address.upper()):
        line = rendered(event=around.format(typed), nested={"list": [around.format(typed)]})
        assert line["event"] == around.format(f"email:{email_hash(address)}")
        assert line["nested"]["list"][0] == line["event"]


@pytest.mark.parametrize(
    "address",
    [
        '"ann b"@example.org',
        "ann@[127.0.0.1]",
        "ann@[IPv6:::1]",
        "ann%40example.org",
        "Änn@exämple.org",
        "ann@localhost",
        "o'brien@example.org",
        "a.very+long.tag=@example.org",
        "x" * 200 + "@example.org",
    ],
)
def test_unusual_addresses_are_found(address: str) -> None:
    """Quoted local parts, literal, international and percent-encoded addresses are found too."""
    text = scrub_text(f"mail to {address} failed")
    assert "@" not in text
    assert "example" not in text
    assert "email:" in text


def test_addresses_in_errors_of_the_standard_librarys_loggers_go(log: Any) -> None:
    """A driver's error that quotes a row is scrubbed, in the message and in the traceback."""
    detail = "DETAIL:  Key (email)=(Ann@Example.org) already exists."
    try:
        raise RuntimeError(detail)
    except RuntimeError:
        logging.getLogger("sqlalchemy.pool").exception("failed for %s", "ann@example.org")
    assert "example.org" not in log.text.lower()
    assert log.text.count(f"email:{email_hash('ann@example.org')}") == 2


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("Authorization: Bearer abc.DEF-123_x", "abc.DEF"),
        ("got bearer AAAAbbbb1111 from", "AAAAbbbb"),
        ("authorization=Basic YWRtaW46aHVudGVyMg==", "YWRtaW4"),
        ("{'Authorization': 'Basic YWRtaW46aHVudGVyMg=='}", "YWRtaW4"),
        ("Cookie: session=abcdef; other=ghijkl", "ghijkl"),
        ("postgres://galaxy:hunter2@db:5432/galaxy", "hunter2"),
        ("postgres://galaxy:p@ss@db/galaxy", "p@ss"),
        ("password=hunter2", "hunter2"),
        ("{'password': 'hunter2'}", "hunter2"),
        ('{"session_token": "hunter2"}', "hunter2"),
        ("Key (token)=(hunter2) already exists", "hunter2"),
        ("x-gateway-token: hunter2hunter2", "hunter2"),
        ("api_key=hunter2&x=1", "hunter2"),
        ("your code is 12345678.", "12345678"),
        ("code=12345678", "12345678"),
        ("{'code': '12345678'}", "12345678"),
        ("code 1234 5678", "1234"),
        ("code: 1234-5678", "5678"),
        ("code: 1234\u20135678", "5678"),
        ("code 1 2 3 4 5 6 7 8", "7 8"),
        ("code  1234   5678", "5678"),
        ("Ihr Code lautet 1234 5678.", "1234"),
        ("1234 5678 is your sign-in code", "5678"),
        ("code='1234 5678'", "5678"),
        ("token " + TOKEN, "aB3-"),
        ("session " + TOKEN, "aB3-"),
        (TOKEN, "aB3-"),
        (f"/api/v1/user/sessions/{TOKEN}?x=1", "aB3-"),
        (f"{TOKEN[:30]}", "aB3-"),
        (f"x{TOKEN}x", "aB3-"),
        ("sign_in_code=1234 5678", "5678"),
        ("?sign_in_code=1234%205678&x=1", "5678"),
        ("code=1234+5678", "5678"),
        ("code=1234%C2%A05678", "5678"),
        ("code=1234%2D5678", "5678"),
        ("c%6Fde%3D12345678", "5678"),
        ("code=%31%32%33%34%35%36%37%38", "%38"),
        ("code=1234%25205678", "5678"),
        ("signInCode=12345678", "5678"),
        ("{'emailCode': 12345678}", "5678"),
        ("1234 5678 is your sign_in_code", "5678"),
        ("code 1234\u200b5678", "5678"),
        ("co\u00adde: 12345678", "5678"),
        ("pass\u200bword=hunter2", "hunter2"),
        ("pass%77ord%3Dhunter2", "hunter2"),
        ("sessionToken=hunter2", "hunter2"),
        ("api-key=hunter2", "hunter2"),
        ("to ann\u2060@example.org", "ann"),
        ("g%78s_" + TOKEN[4:], "aB3-"),
    ],
)
def test_secrets_in_texts_are_redacted(text: str, secret: str) -> None:
    """Credentials, passwords in URLs, labelled secrets and codes are taken out of texts."""
    assert secret not in scrub_text(text)
    assert secret not in json.dumps(rendered(event="e", detail=[text]))


@pytest.mark.parametrize(
    "key",
    ["password", "smtp_password", "token", "sessionToken", "X-Gateway-Token", "code", "email_code", "client_secret",
     "authorization", "set-cookie", "credentials", "token_hash", "signInCode", "HTTPToken", "apiKey", "api_key",
     "privateKey", "pass\u200bword", "sign%5Fin%5Fcode"],
)  # fmt: skip
def test_fields_named_like_secrets_are_redacted(key: str) -> None:
    """The value of a field that is named like a secret is not shown, at any depth and of any type."""
    for value in ("hunter2", 12345678, ["hunter2"], {"a": "hunter2"}):
        assert rendered(event="e", **{key: value})[key] == "[redacted]"
        assert rendered(event="e", deep=[{key: value}])["deep"][0][key] == "[redacted]"
    assert rendered(event="e", **{key: None})[key] is None


@pytest.mark.parametrize(
    ("key", "value"),
    [("status_code", 404), ("smtp_code", 550), ("country_code", "AT"), ("exit_code", 137), ("tokens", 5),
     ("http.response.status_code", 200), ("recode", "x"), ("image", "galaxy/game@sha256:0a1b2c"),
     ("event_at", "2030-01-01 @ noon"), ("detail", "error code: 23505"), ("detail", "token expired, sign in again"),
     ("url", "https://example.org/api/v1/public?page=2"),
     ("detail", "status code 404 after 1700000000 s"), ("detail", "smtp code 550 5.1.1"),
     ("detail", "gxs_short"), ("statusCode", 404), ("idempotency_key", "k1"), ("gameKey", "k1"),
     ("detail", "100% of 5%20a, nothing%3Dto hide"), ("detail", "codes 12345678"), ("detail", "a\u200bb"),
     ("detail", "basic checks passed")],
)  # fmt: skip
def test_what_is_no_secret_is_kept(key: str, value: Any) -> None:
    """Fields and texts that only look a little like secrets are shown."""
    assert rendered(event="e", **{key: value})[key] == value


@settings(deadline=None, max_examples=60)  # other load on the machine is not a failure
@given(st.text(st.characters(blacklist_characters="@%:="), max_size=200))
def test_plain_text_is_kept(text: str) -> None:
    """Text without an address, an assignment or credentials is kept as it is."""
    if not any(word in text.lower() for word in ("bearer", "basic", "cookie", "authorization", "code")):
        assert scrub_text(text) == text


@pytest.mark.parametrize("begun", ["", "token: ", "bearer ", "cookie: ", "a://", "code "])
@pytest.mark.parametrize(
    "piece",
    [
        "a",
        "a.",
        "%",
        "a%",
        "%4",
        "%40",
        "a@",
        "x@",
        "'",
        "'a",
        '"',
        "a'",
        "code ",
        "token",
        "://",
        "a://",
        " ",
        "%20",
        "%25",
        "%2",
        "\u200b",
        "1",
        "1 ",
        "code1",
        "Code",
    ],
)
def test_scrubbing_takes_linear_time(begun: str, piece: str) -> None:
    """A text sixteen times as long takes about sixteen times as long, whatever it repeats; quadratic would be 256."""

    def took(length: int) -> float:
        text, times = begun + piece * (length // len(piece)) + "@token", []
        for _ in range(5):
            before = time.thread_time()
            scrub_text(text)
            times.append(time.thread_time() - before)
        return min(times)

    assert took(16_000) < 64 * max(took(1_000), 20e-6)


def test_long_texts_are_cut() -> None:
    """A text of any length is cut before it is scrubbed."""
    assert len(scrub_text("a" * 200_000)) < 20_000


@pytest.mark.parametrize(
    "text", ["%40ada@example.org", "x%40ada@example.org", "%41ada%40example.org", "100%ada@b.test"]
)
def test_percent_signs_hide_no_address(text: str) -> None:
    """An address is recognised beside percent signs, encoded ones included."""
    assert "ada" not in scrub_text(text) or "@" not in scrub_text(text)


def test_the_hash_of_an_address_is_of_this_process(run: Callable[..., Any]) -> None:
    """The hash is 16 hexadecimal digits, ignores case, and differs in another process."""
    ours = email_hash("Ann@Example.org")
    assert ours == email_hash(" ann@example.ORG ")
    assert ours != email_hash("bob@example.org")
    assert len(ours) == 16
    assert int(ours, 16) >= 0
    theirs = run("from galaxy_chassis.logs import email_hash; print(email_hash('ann@example.org'))").stdout.strip()
    assert len(theirs) == 16
    assert theirs != ours
