"""Conversations with relays that follow a script exactly."""

import asyncio
import itertools
import ssl
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvloop
from aiosmtplib.protocol import PERIOD_REGEX, normalize_message_line_endings
from hypothesis import example, given
from hypothesis import strategies as st

from galaxy_mail.conversation import DATA, MAIL, RCPT, Conversation, Lost, Refused, Reply, ReplyParser, framed

SENDER, TO, CONTENT = b"galaxy@example.test", b"ada@example.test", b"Subject: x\r\n\r\nline\r\n"
COMMANDS = [b"MAIL FROM:<galaxy@example.test>\r\n", b"RCPT TO:<ada@example.test>\r\n", b"DATA\r\n"]
MESSAGE = "message"
"""In a script: read until the lone dot."""
CUT = "cut"
"""In a script: end the connection."""
Script = list[int | bytes | str]
"""A step of a relay: read so many lines, send a reply, MESSAGE or CUT."""


class Relay:
    """Plays a script for one connection."""

    def __init__(self, *script: int | bytes | str) -> None:
        self.script = script
        self.heard: list[bytes] = []

    async def play(self, reader: StreamReader, writer: StreamWriter) -> None:
        for step in self.script:
            if isinstance(step, bytes):
                writer.write(step)
                await writer.drain()
            elif isinstance(step, int):
                self.heard += [await reader.readline() for _ in range(step)]
            elif step == MESSAGE:
                self.heard.append(await reader.readuntil(b"\r\n.\r\n"))
            else:
                return
        await reader.read()


@asynccontextmanager
async def talking_to(
    play: Callable[[StreamReader, StreamWriter], Awaitable[None]],
    *extensions: str,
    tls: ssl.SSLContext | None = None,
    trust: ssl.SSLContext | None = None,
) -> AsyncIterator[Conversation]:
    """Return a conversation, over a real connection, with a relay that offers extensions."""
    ended = asyncio.Event()

    async def serve(reader: StreamReader, writer: StreamWriter) -> None:
        try:
            await play(reader, writer)
        except (OSError, EOFError):  # closed by this side
            pass
        finally:
            writer.close()
            ended.set()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, limit=1 << 25, ssl=tls)
    host, port = server.sockets[0].getsockname()
    transport, _ = await asyncio.get_running_loop().create_connection(
        asyncio.Protocol, host, port, ssl=trust, server_hostname="localhost" if trust else None
    )
    conversation = Conversation(transport, extensions)
    try:
        async with asyncio.timeout(20):
            yield conversation
    finally:
        conversation.close()
        server.close()
        await ended.wait()
        await server.wait_closed()


async def say(conversation: Conversation, content: bytes = CONTENT) -> Reply:
    return await conversation.mail(SENDER, TO, content)


OK = b"250 ok\r\n"
GO_ON = b"250 ok\r\n250 ok\r\n354 go on\r\n"


async def test_commands_go_in_one_write_where_the_relay_offers_it() -> None:
    """With PIPELINING the relay has MAIL, RCPT and DATA before it answers any; the message waits for its 354."""
    relay = Relay(3, GO_ON, MESSAGE, b"250 2.0.0 queued\r\n")
    async with talking_to(relay.play, "pipelining") as conversation:
        assert await say(conversation) == Reply(250, "2.0.0 queued")
    assert relay.heard == [*COMMANDS, CONTENT + b".\r\n"]


async def test_commands_go_one_by_one_where_it_does_not() -> None:
    """Without PIPELINING a command waits for the answer to the one before: nothing is sent after a refusal."""
    relay = Relay(1, b"250 ok\r\n", 1, b"450 later\r\n", 1, OK, 1, OK, 1, OK, 1, b"354 go on\r\n", MESSAGE, OK)
    async with talking_to(relay.play) as conversation:
        with pytest.raises(Refused, match="RCPT TO: 450 later"):
            await say(conversation)
        await say(conversation)
    assert relay.heard == [*COMMANDS[:2], b"RSET\r\n", *COMMANDS, CONTENT + b".\r\n"]


async def test_size_and_utf8_are_declared() -> None:
    """MAIL declares the size where the relay wants it, and SMTPUTF8 for an address that is not ASCII."""
    relay = Relay(3, GO_ON, MESSAGE, OK)
    async with talking_to(relay.play, "pipelining", "size", "smtputf8") as conversation:
        await conversation.mail(SENDER, "ädä@example.test".encode(), CONTENT)
    assert relay.heard[0] == b"MAIL FROM:<galaxy@example.test> SMTPUTF8 SIZE=%d\r\n" % len(CONTENT)


async def test_after_a_refused_mail_the_next_begins_with_rset() -> None:
    """All answers of a refused group are read; RSET is sent in one write with the next mail's commands."""
    relay = Relay(3, b"451 4.3.0 disk\r\n503 what\r\n503 what\r\n", 4, OK + GO_ON, MESSAGE, OK)
    async with talking_to(relay.play, "pipelining") as conversation:
        with pytest.raises(Refused) as caught:
            await say(conversation)
        assert (caught.value.stage, caught.value.reply) == (MAIL, Reply(451, "4.3.0 disk"))
        assert (await say(conversation)).code == 250
    assert relay.heard[3:] == [b"RSET\r\n", *COMMANDS, CONTENT + b".\r\n"]


@pytest.mark.parametrize(
    ("answers", "stage"),
    [(b"250 ok\r\n550 no\r\n354 go on\r\n", RCPT), (b"550 no\r\n503 what\r\n354 go on\r\n", MAIL)],
)
@pytest.mark.parametrize("end", [b"554 no valid recipients\r\n", b"250 ok\r\n"])
async def test_a_message_for_nobody_is_empty(answers: bytes, stage: str, end: bytes) -> None:
    """A relay that wants the message after it has refused the recipient gets a dot; the conversation continues."""
    relay = Relay(3, answers, 1, end, 4, OK + GO_ON, MESSAGE, OK)
    async with talking_to(relay.play, "pipelining") as conversation:
        with pytest.raises(Refused) as caught:
            await say(conversation)
        assert (caught.value.stage, caught.value.reply.code) == (stage, 550)
        assert conversation.usable
        await say(conversation)
    assert relay.heard == [*COMMANDS, b".\r\n", b"RSET\r\n", *COMMANDS, CONTENT + b".\r\n"]


@pytest.mark.parametrize(
    ("answers", "code"),
    [
        (b"451 later\r\n250 ok\r\n354 go on\r\n", 451),
        (b"250 ok\r\n550 no\r\n250 ok\r\n", 550),
        (b"250 ok\r\n354 what\r\n503 what\r\n", 354),
        (b"250 ok\r\n250 ok\r\n250 what\r\n", 250),
    ],
)
async def test_no_empty_mail_is_delivered(answers: bytes, code: int) -> None:
    """A relay with senseless answers is left without a dot, for that might send an empty mail."""
    relay = Relay(3, answers, 1)
    async with talking_to(relay.play, "pipelining") as conversation:
        with pytest.raises(Refused) as caught:
            await say(conversation)
        assert caught.value.reply.code == code and not conversation.usable
    assert relay.heard == [*COMMANDS, b""]


@pytest.mark.parametrize(("place", "stage"), [(0, MAIL), (1, RCPT), (2, DATA)])
@pytest.mark.parametrize("cut", [True, False], ids=["cut", "left open"])
async def test_a_relay_that_takes_leave_in_mid_group(place: int, stage: str, cut: bool) -> None:
    """A 421 is the answer to its command and the end of the conversation; the rest is not awaited."""
    relay = Relay(3, OK * place + b"421 4.3.2 going down\r\n", *([CUT] if cut else []))
    async with talking_to(relay.play, "pipelining") as conversation:
        with pytest.raises(Refused) as caught:
            await say(conversation)
        assert (caught.value.stage, caught.value.reply) == (stage, Reply(421, "4.3.2 going down"))
        assert not conversation.usable
        with pytest.raises(Lost, match="421 4.3.2 going down"):
            await say(conversation)


async def test_a_refusal_counts_though_the_connection_is_lost_behind_it() -> None:
    """A refusal stands when the relay hangs up before it has answered the rest."""
    async with talking_to(Relay(3, b"250 ok\r\n550 no\r\n", CUT).play, "pipelining") as conversation:
        with pytest.raises(Refused) as caught:
            await say(conversation)
        assert (caught.value.stage, caught.value.reply.code) == (RCPT, 550)
        assert not conversation.usable


async def test_a_refusal_counts_though_the_rest_is_late(monkeypatch: pytest.MonkeyPatch) -> None:
    """A refusal stands when the relay is slow to answer the rest; that connection is closed."""
    monkeypatch.setattr("galaxy_mail.conversation._PATIENCE", 0.05)
    async with talking_to(Relay(3, b"250 ok\r\n550 no\r\n").play, "pipelining") as conversation:
        with pytest.raises(Refused) as caught:
            await say(conversation)
        assert (caught.value.stage, caught.value.reply.code) == (RCPT, 550)
        assert not conversation.usable


STAGES: list[tuple[Script, str, bool]] = [
    ([CUT], MAIL, False),
    ([3, CUT], MAIL, False),
    ([3, b"25", CUT], MAIL, False),
    ([3, b"250-ok\r\n", CUT], MAIL, False),
    ([3, b"250 ok\r\n", CUT], RCPT, False),
    ([3, b"250 ok\r\n250 ok\r\n", CUT], DATA, False),
    ([3, GO_ON, MESSAGE, CUT], DATA, True),
    ([3, GO_ON, MESSAGE, b"250", CUT], DATA, True),
]


@pytest.mark.parametrize(("script", "stage", "handed_over"), STAGES)
async def test_a_connection_is_lost(script: Script, stage: str, handed_over: bool) -> None:
    """The error has the stage, and whether the message was being sent."""
    async with talking_to(Relay(*script).play, "pipelining") as conversation:
        with pytest.raises(Lost) as caught:
            await say(conversation)
        assert (caught.value.stage, caught.value.handed_over) == (stage, handed_over)
        assert "connection" in str(caught.value)
        assert not conversation.usable
        with pytest.raises(Lost):
            await conversation.noop()


@pytest.mark.parametrize("unasked", [b"421 4.4.2 idle\r\n", b"250 ok\r\n", b"HTTP/1.1 400\r\n", b"4" * 40_000, CUT])
async def test_nothing_is_said_between_mails(unasked: bytes | str) -> None:
    """A relay that sends something or hangs up between two mails is not used again."""
    async with talking_to(Relay(3, GO_ON, MESSAGE, OK, 1, OK, unasked).play, "pipelining") as conversation:
        await say(conversation)
        assert conversation.usable
        await conversation.noop()
        while conversation.usable:
            await asyncio.sleep(0.01)


async def test_one_answer_too_many_is_not_the_next_ones() -> None:
    """A surplus answer ends the conversation before the message is sent, instead of being mistaken for its own."""
    relay = Relay(3, GO_ON + b"250 surplus\r\n", 1)
    async with talking_to(relay.play, "pipelining") as conversation:
        with pytest.raises(Lost, match="unexpected reply: 250 surplus") as caught:
            await say(conversation)
        assert not caught.value.handed_over
    assert relay.heard == [*COMMANDS, b""]


@pytest.mark.parametrize(
    "answer", [b"HTTP/1.1 400 Bad Request\r\n", b"\r\n", b"25\r\n", b"2500 ok\r\n", b"150 ok\r\n", b"250-x\r\n" * 9_000]
)
async def test_a_malformed_reply_is_the_end(answer: bytes) -> None:
    """A malformed reply, or one without end, is an error."""
    async with talking_to(Relay(3, answer).play, "pipelining") as conversation:
        with pytest.raises(Lost, match="malformed reply") as caught:
            await say(conversation)
        assert caught.value.stage == MAIL and not conversation.usable


@pytest.mark.parametrize("bad", [b"a\r\nDATA\r\n@example.test", b"a\0@example.test", b"a\x7f@example.test"])
async def test_addresses_inject_nothing(bad: bytes) -> None:
    """Control characters in an address are refused before anything is sent."""
    relay = Relay(1)
    async with talking_to(relay.play, "pipelining") as conversation:
        for sender, recipient in ((bad, TO), (SENDER, bad)):
            with pytest.raises(ValueError, match="control characters"):
                await conversation.mail(sender, recipient, CONTENT)
    assert relay.heard == [b""]


async def test_quit_waits_for_the_answer() -> None:
    """QUIT is sent and answered before the connection is closed; any answer is accepted."""
    for answer in (b"221 bye\r\n", b"421 bye\r\n", b"500 what\r\n", b"what\r\n", CUT):
        relay = Relay(1, answer)
        async with talking_to(relay.play) as conversation:
            await conversation.quit()
            assert not conversation.usable
        assert relay.heard == [b"QUIT\r\n"]


async def test_quit_does_not_wait_for_ever() -> None:
    """A relay that does not answer QUIT is disconnected after a moment."""
    async with talking_to(Relay(2).play) as conversation:
        await conversation.quit()


LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "asyncio": asyncio.new_event_loop,
    "uvloop": uvloop.new_event_loop,
}


@pytest.fixture(params=LOOPS)
def runner(request: pytest.FixtureRequest) -> Iterator[asyncio.Runner]:
    """Return both event loops, which have transports of their own."""
    with asyncio.Runner(loop_factory=LOOPS[request.param]) as runner:
        yield runner


@pytest.fixture(params=["plain", "tls"])
def contexts(request: pytest.FixtureRequest, certificate: Any) -> dict[str, ssl.SSLContext]:
    if request.param == "plain":
        return {}
    return {"tls": certificate.server, "trust": ssl.create_default_context(cafile=str(certificate.ca_file))}


def test_mails_go_over_on_either_loop(runner: asyncio.Runner, contexts: Any) -> None:
    """With and without TLS, mails, a refusal, a QUIT and a cut work on asyncio and on uvloop."""
    refusal = b"250 ok\r\n550 no\r\n503 what\r\n"
    relay = Relay(3, GO_ON, MESSAGE, OK, 3, refusal, 4, OK + GO_ON, MESSAGE, OK, 1, b"221 bye\r\n")

    async def work() -> None:
        async with talking_to(relay.play, "pipelining", **contexts) as conversation:
            await say(conversation)
            with pytest.raises(Refused):
                await say(conversation)
            await say(conversation)
            await conversation.quit()
        for end in (CUT, b"what\r\n", b"421 bye\r\n"):
            async with talking_to(Relay(3, GO_ON, MESSAGE, end).play, "pipelining", **contexts) as conversation:
                with pytest.raises((Lost, Refused)):
                    await say(conversation)

    runner.run(work())
    message = CONTENT + b".\r\n"
    assert relay.heard == [*COMMANDS, message, *COMMANDS, b"RSET\r\n", *COMMANDS, message, b"QUIT\r\n"]


def test_a_large_message_waits_for_a_slow_reader(runner: asyncio.Runner, contexts: Any) -> None:
    """Of a message of several megabytes little more is buffered than the relay reads, and all of it arrives."""
    content = b"".join(b"%d 0123456789 abcdefghijklmnopqrstuvwxyz\r\n" % number for number in range(200_000))
    heard: list[bytes] = []
    most = 0

    async def work() -> None:
        reads_on = asyncio.Event()

        async def play(reader: StreamReader, writer: StreamWriter) -> None:
            for _ in range(3):
                await reader.readline()
            writer.transport.pause_reading()
            writer.write(GO_ON)
            await reads_on.wait()
            writer.transport.resume_reading()
            heard.append(await reader.readuntil(b"\r\n.\r\n"))
            writer.write(OK)
            await reader.read()

        async with talking_to(play, "pipelining", **contexts) as conversation:
            mail = asyncio.create_task(say(conversation, content))
            while not conversation._paused:
                await asyncio.sleep(0)
            nonlocal most
            most = conversation._transport.get_write_buffer_size()
            reads_on.set()
            assert (await mail).code == 250

    runner.run(work())
    assert heard == [content + b".\r\n"]
    assert most < 1 << 20


def test_a_relay_may_vanish_under_a_large_message(runner: asyncio.Runner, contexts: Any) -> None:
    """A message stalled by a relay that stops reading ends with the connection, not with the timeout."""

    async def work() -> None:
        async def play(reader: StreamReader, writer: StreamWriter) -> None:
            for _ in range(3):
                await reader.readline()
            writer.write(GO_ON)
            await reader.readexactly(100_000)
            writer.transport.abort()

        async with talking_to(play, "pipelining", **contexts) as conversation:
            with pytest.raises(Lost) as caught:
                await say(conversation, b"x" * 78 * 500_000)
            assert caught.value.handed_over

    runner.run(work())


async def test_a_conversation_left_in_the_middle_is_over() -> None:
    """A cancelled task that closes leaves no unsent bytes of the message behind."""
    relay = Relay(3, GO_ON[:-11])
    async with talking_to(relay.play, "pipelining") as conversation:
        mail = asyncio.create_task(say(conversation))
        while not relay.heard:
            await asyncio.sleep(0.01)
        mail.cancel()
        await asyncio.wait([mail])
        conversation.close()
        assert mail.cancelled() and not conversation.usable


TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\r\n\0"), max_size=20).map(str.strip)
REPLIES = st.lists(st.tuples(st.integers(200, 599), st.lists(TEXT, min_size=1, max_size=4)), max_size=6)


def wire(replies: list[tuple[int, list[str]]]) -> bytes:
    lines = []
    for code, texts in replies:
        lines += [f"{code}-{text}" for text in texts[:-1]] + [f"{code} {texts[-1]}"]
    return "".join(line + "\r\n" for line in lines).encode()


@given(replies=REPLIES, cuts=st.lists(st.integers(0, 200), max_size=8))
@example(replies=[(250, ["a", "b"]), (354, [""]), (421, ["bye"])], cuts=list(range(200)))
def test_replies_come_in_any_pieces(replies: list[tuple[int, list[str]]], cuts: list[int]) -> None:
    """Replies are the same however their bytes are cut: each by itself, several at once, in the middle of a line."""
    stream, parser, got = wire(replies), ReplyParser(), []
    edges = [0, *sorted(cuts), len(stream)]
    for start, end in itertools.pairwise(edges):
        got += parser.feed(stream[start:end])
    assert got == [Reply(code, "\n".join(texts)) for code, texts in replies]


@pytest.mark.parametrize("cut", range(len(wire([(250, ["ok", "more"]), (550, ["no"])]))))
async def test_replies_cut_at_any_byte(cut: int) -> None:
    """However the network splits the replies, each is matched to its command."""
    stream = wire([(250, ["ok", "more"]), (550, ["no"])]) + b"503 what\r\n"

    async def play(reader: StreamReader, writer: StreamWriter) -> None:
        for _ in range(3):
            await reader.readline()
        for piece in (stream[:cut], stream[cut:]):
            writer.write(piece)
            await asyncio.sleep(0.002)
        await reader.read()

    async with talking_to(play, "pipelining") as conversation:
        with pytest.raises(Refused) as caught:
            await say(conversation)
        assert (caught.value.stage, caught.value.reply) == (RCPT, Reply(550, "no"))
        assert conversation.usable


def test_replies_need_not_be_tidy() -> None:
    """A reply without text, or with LF alone, is valid; NUL and broken UTF-8 are replaced."""
    assert list(ReplyParser().feed(b"250\r\n250 \r\n250-a\n250 b\n550 \0\xff\r\n")) == [
        Reply(250, ""),
        Reply(250, ""),
        Reply(250, "a\nb"),
        Reply(550, "\ufffd\ufffd"),
    ]


@given(st.lists(st.sampled_from([b"\r\n", b"\r", b"\n", b".", b"..", b"text"]), max_size=12).map(b"".join))
@example(b"")
@example(b".\r\n.\r\n")
def test_messages_are_framed(content: bytes) -> None:
    """A message arrives unchanged except for line ends, which become CRLF; nothing in it ends it early."""
    sent = framed(content)
    assert sent == PERIOD_REGEX.sub(b"..", normalize_message_line_endings(content)) + b".\r\n"
    lines = sent.split(b"\r\n")
    assert lines[-2:] == [b".", b""] and b"." not in lines[:-2]
    assert not any(b"\r" in line or b"\n" in line for line in lines)
    received = b"".join(line.removeprefix(b".") + b"\r\n" for line in lines[:-2])
    assert received == normalize_message_line_endings(content)
