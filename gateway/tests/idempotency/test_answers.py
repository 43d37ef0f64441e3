"""Which answers are kept, and what of them."""

import pytest

from galaxy_gateway.idempotency.answers import LARGEST, Answer, decode, encode, kept, why_not_kept

PATH = "/api/v1/user/games"
JSON = ("Content-Type", "application/json")


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299, 400, 404, 410, 413, 415, 422, 428])
def test_what_the_same_call_would_hear_again_is_kept(status: int) -> None:
    """Successes, and refusals of the call itself."""
    assert why_not_kept(PATH, status, [JSON], b"{}") is None


@pytest.mark.parametrize(
    "status", [100, 199, 300, 302, 304, 399, 401, 403, 408, 409, 412, 425, 429, 500, 502, 503, 504, 599, 600]
)
def test_what_passes_is_not_kept(status: int) -> None:
    """Failures, redirections, and refusals that may be different a moment later."""
    assert why_not_kept(PATH, status, [JSON], b"{}") == "status"


@pytest.mark.parametrize("path", ["/api/v1/public/auth/confirm-email-code", "/api/v1/user/account"])
def test_secrets_are_not_kept(path: str) -> None:
    """Neither the token of a session nor the address of an account."""
    assert why_not_kept(path, 201, [JSON], b"{}") == "secret"


@pytest.mark.parametrize("name", ["Set-Cookie", "set-cookie", "SET-COOKIE"])
def test_an_answer_with_a_cookie_is_not_kept(name: str) -> None:
    """It could not be repeated without it, nor may it be repeated with it."""
    assert why_not_kept(PATH, 201, [JSON, (name, "__Host-galaxy=token")], b"{}") == "secret"


def test_a_large_answer_is_not_kept() -> None:
    """One octet decides."""
    assert why_not_kept(PATH, 201, [JSON], b"x" * LARGEST) is None
    assert why_not_kept(PATH, 201, [JSON], b"x" * (LARGEST + 1)) == "size"


def test_fields_of_one_message_are_not_kept() -> None:
    """What describes the answer stays, in any spelling; what describes its delivery goes, and what nobody knows too."""
    described = [JSON, ("location", "/api/v1/user/games/1"), ("ETag", '"3"'), ("CONTENT-ENCODING", "gzip")]
    delivered = [
        *(("Date", "now"), ("Connection", "close"), ("Content-Length", "2"), ("X-Request-Id", "1"), ("RateLimit", "x")),
        *(("Set-Cookie", "a=b"), ("Authorization", "x"), ("X-Session-Token", "x"), ("Server", "x")),
    ]
    assert kept(201, [*delivered, *described], b"{}") == Answer(201, tuple(described), b"{}")


def test_an_answer_survives_being_stored() -> None:
    """Status, fields in their order and every octet of the body."""
    answer = Answer(422, (JSON, ("ETag", '"\u00e9"')), bytes(range(256)))
    assert decode(encode(answer)) == answer


@pytest.mark.parametrize("octets", [b"", b"\xff", b"\x93", encode(Answer(200, (), b""))[:-1], b"\x91\xcc\xc8"])
def test_anything_else_is_no_answer(octets: bytes) -> None:
    """What another version of the gateway has stored raises ValueError and nothing else."""
    with pytest.raises(ValueError, match="."):
        decode(octets)
