"""Where the token goes and where it does not; bodies that are too long, and answers of other servers."""

import asyncio
import logging
import traceback

import pytest
from scripted_server import GAME_ID, LOST, Server, account, answer, client, game, problem, raw

from galaxy_client import AnswerError, ClosedError, Galaxy, GalaxyError, ProblemError, transport
from galaxy_client.models import SignedIn

TOKEN = "kZ8-very-secret-token"


async def test_the_token_goes_with_every_request() -> None:
    """It is the bearer of every request, and no cookie is kept."""
    async with Server([answer(200, account(), Set_Cookie="a=b")]) as server, client(server, token=TOKEN) as galaxy:
        await galaxy.account()
        await galaxy.account()
    assert [each.headers["authorization"] for each in server.received] == [f"Bearer {TOKEN}"] * 2
    assert "cookie" not in server.received[1].headers


async def test_no_redirect_is_followed() -> None:
    """Another server does not get the token because this one says so."""
    async with Server([answer(200, account())]) as other:
        script = [answer(307, None, Location=f"{other.address}/api/v1/user/account")]
        async with Server(script) as server, client(server, token=TOKEN) as galaxy:
            with pytest.raises(ProblemError, match="307"):
                await galaxy.account()
    assert other.received == []


@pytest.mark.parametrize(
    "step",
    [LOST, problem(401, "unauthenticated"), answer(200, {"no": "account"}), answer(500, {"detail": f"bad {TOKEN}"})],
)
async def test_no_error_shows_the_token(step: object, caplog: pytest.LogCaptureFixture) -> None:
    """Neither text nor cause nor log of any failure has it, even where the server repeats it."""
    caplog.set_level(logging.DEBUG)
    async with Server([step]) as server, client(server, token=TOKEN) as galaxy:  # type: ignore[list-item] # steps
        with pytest.raises(GalaxyError) as raised:
            await galaxy.account()
        shown = "".join(traceback.format_exception(raised.value)) + repr(raised.value) + repr(vars(raised.value))
        assert TOKEN not in shown + repr(galaxy) + caplog.text
    assert raised.value.__cause__ is None
    assert raised.value.__suppress_context__ or raised.value.__context__ is None


async def test_a_session_is_shown_without_its_token() -> None:
    """`repr` of what signing in returns leaves the token out."""
    document = {"session_token": TOKEN, "session_id": GAME_ID, "account": account()}
    sent = {"challenge_id": GAME_ID, "expires_at": "2026-01-01T00:00:00Z"}
    async with Server([answer(202, sent), answer(201, document)]) as server, client(server, token=None) as galaxy:
        signed_in = await galaxy.sign_in("ada@example.test", lambda _: "12345678")
        assert galaxy.token == TOKEN
    assert isinstance(signed_in, SignedIn)
    assert "Ada" in repr(signed_in)
    assert TOKEN not in repr(signed_in) + str(signed_in.__rich_repr__())


@pytest.mark.parametrize("token", ["", "two words", "a\r\nX-Evil: 1", "ü", "x" * 600])
async def test_what_cannot_be_a_token(token: str) -> None:
    """It is refused before anything is sent, and not repeated in the error."""
    with pytest.raises(ValueError, match="the session token is empty") as refused:
        Galaxy("http://127.0.0.1:1", token)
    assert token == "" or token not in str(refused.value)


async def test_answers_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer without an end is given up."""
    monkeypatch.setattr(transport, "LARGEST_ANSWER", 1000)
    async with Server([raw(b"HTTP/1.1 200 OK\r\n\r\n" + b" " * 5000)]) as server, client(server) as galaxy:
        with pytest.raises(AnswerError, match="longer than 1000 bytes"):
            await galaxy.account()
    assert len(server.received) == 1


@pytest.mark.parametrize("body", [b"<html>Hello</html>", b"", b"[]", b'{"id": 7}', b"\xff"])
async def test_another_server(body: bytes) -> None:
    """An answer that is not the API's says so, and is not asked for again."""
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    async with Server([raw(head + body)]) as server, client(server) as galaxy:
        with pytest.raises(AnswerError, match="is it the address of a game server"):
            await galaxy.account()
    assert len(server.received) == 1


async def test_a_newer_server() -> None:
    """Members and words that this client does not know change nothing for it."""
    newer = game(state="hibernating", weather={"rain": 1}, schedule={"interval": "1d", "moon": "full"}, seats=[])
    async with Server([answer(200, newer)]) as server, client(server) as galaxy:
        assert (await galaxy.game(GAME_ID)).state == "hibernating"


async def test_a_path_before_the_api() -> None:
    """A server behind a path is reached under it."""
    async with Server([answer(200, account())]) as server, Galaxy(f"{server.address}/galaxy/") as galaxy:
        await galaxy.account()
    assert server.received[0].path == "/galaxy/api/v1/user/account"


@pytest.mark.parametrize("given", ["../../admin/users", "", "x", "%2e%2e", f"{GAME_ID}?a=b"])
async def test_ids_cannot_leave_their_path(given: str) -> None:
    """What is not an id is refused before it is sent."""
    async with Server([answer(200, game())]) as server, client(server) as galaxy:
        with pytest.raises(ValueError, match="expected an id"):
            await galaxy.game(given)
    assert server.received == []


async def test_closed() -> None:
    """A closed client says that it is closed; closing it again does nothing."""
    async with Server([answer(200, account())]) as server:
        galaxy = client(server)
        await galaxy.close()
        await galaxy.close()
        with pytest.raises(ClosedError):
            await galaxy.account()


async def test_connections_are_reused() -> None:
    """Calls one after the other share a connection."""
    peers = set()

    async def keep(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peers.add(writer.get_extra_info("peername"))
        body = b'{"read": 0}'
        try:
            while True:
                await reader.readuntil(b"\r\n\r\n")
                writer.write(f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
        except asyncio.IncompleteReadError:
            writer.close()

    listener = await asyncio.start_server(keep, "127.0.0.1", 0)
    async with Galaxy(f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}") as galaxy:
        for _ in range(5):
            assert await galaxy.mark_all_read() == 0
    listener.close()
    await listener.wait_closed()
    assert len(peers) == 1
