"""Real conversations with relays that accept, refuse, stall and vanish."""

import asyncio
from typing import Any

import pytest

from galaxy_mail.errors import Refusal, RelayDown
from galaxy_mail.replies import Subject
from galaxy_mail.transport import MAILS_PER_CONNECTION, MAX_IDLE

MAIL = b"Subject: x\r\n\r\nline\r\n.dot\r\n"
TO = "ada@example.test"


async def test_a_mail_goes_over(relay: Any, transport_to: Any) -> None:
    """The relay gets sender, recipient and exactly the bytes, with dot-stuffing; its reply is returned."""
    reply = await transport_to(relay.port).send(TO, MAIL)
    assert (reply.code, reply.text) == (250, "2.0.0 queued")
    assert relay.messages == [MAIL.replace(b"\r\n.", b"\r\n..")]
    mail, recipient = (next(each for each in relay.commands if each.startswith(verb)) for verb in ("MAIL", "RCPT"))
    assert mail.startswith(f"MAIL FROM:<galaxy@example.test> SIZE={len(MAIL)}")
    assert recipient == "RCPT TO:<ada@example.test>"


async def test_a_real_server_takes_it(sink: Any, transport_to: Any) -> None:
    """Another SMTP server gets the mail as it was composed."""
    await transport_to(sink.port).send("ädä@example.test", MAIL)
    assert sink.received == [("ädä@example.test", MAIL)]


async def test_connections_are_kept(relay: Any, transport_to: Any) -> None:
    """Successive mails use one connection, and a new one is opened after a hundred."""
    transport = transport_to(relay.port)
    for _ in range(MAILS_PER_CONNECTION + 1):
        await transport.send(TO, MAIL)
    assert relay.connections == 2
    assert relay.verbs().count("EHLO") == 2 and "RSET" not in relay.verbs()
    assert relay.verbs().count("QUIT") == 1


async def test_parallel_mails_have_their_own_connections(relay: Any, transport_to: Any) -> None:
    """Mails at the same time never mix in one conversation."""
    transport = transport_to(relay.port)
    await asyncio.gather(*(transport.send(TO, MAIL) for _ in range(5)))
    assert relay.connections == 5 and len(relay.messages) == 5


async def test_idle_connections_are_let_go(relay: Any, transport_to: Any) -> None:
    """A connection unused for a while is closed, whether or not another mail comes."""
    now = 0.0
    transport = transport_to(relay.port, monotonic=lambda: now)
    await transport.send(TO, MAIL)
    now += MAX_IDLE + 1
    await transport.trim()
    assert relay.verbs()[-1] == "QUIT"
    await transport.send(TO, MAIL)
    now += MAX_IDLE + 1
    await transport.send(TO, MAIL)
    assert relay.connections == 3


PIPELINING = pytest.mark.parametrize("pipelining", [False, True], ids=["one by one", "pipelined"])


@PIPELINING
@pytest.mark.parametrize("how", ["cut", "421"])
async def test_a_kept_connection_that_ended_costs_nothing(
    relay: Any, transport_to: Any, how: str, pipelining: bool
) -> None:
    """When the relay has ended a kept connection, the mail is sent over a new one."""
    relay.extensions += ["PIPELINING"] * pipelining
    transport = transport_to(relay.port)
    await transport.send(TO, MAIL)
    if how == "cut":
        relay.script["MAIL"] = ["drop"]
    else:
        relay.script["MAIL"] = ["421 4.4.2 idle for too long"]
    assert (await transport.send(TO, MAIL)).code == 250
    assert relay.connections == 2 and len(relay.messages) == 2


async def test_a_connection_kept_after_a_refusal_may_end_too(relay: Any, transport_to: Any) -> None:
    """A kept connection found dead costs no attempt, whether or not it was used before."""
    transport = transport_to(relay.port)
    relay.script.update(RCPT=["550 5.1.1 no such user"], RSET=["drop"])
    with pytest.raises(Refusal):
        await transport.send(TO, MAIL)
    assert (await transport.send(TO, MAIL)).code == 250
    assert relay.connections == 2


async def test_a_kept_connection_that_cannot_be_made_anew_costs_no_attempt(relay: Any, transport_to: Any) -> None:
    """A relay that has ended a kept connection and hangs on a new one is down: it has nothing of the mail."""
    transport = transport_to(relay.port, timeout="1s")
    await transport.send(TO, MAIL)
    relay.script.update(MAIL=["drop"], EHLO="hang")
    with pytest.raises(RelayDown):
        await transport.send(TO, MAIL)
    assert relay.connections == 2 and len(relay.messages) == 1


async def test_a_relay_that_takes_leave_is_not_asked_again(relay: Any, transport_to: Any) -> None:
    """A 421 between two mails ends the connection, and the next mail uses a new one at once."""
    transport = transport_to(relay.port)
    await transport.send(TO, MAIL)
    relay.say_to_all("421 4.4.2 idle for too long")
    while transport._idle[0].conversation.usable:
        await asyncio.sleep(0.01)
    await transport.send(TO, MAIL)
    assert relay.connections == 2 and relay.verbs().count("MAIL") == 2


async def test_pipelining_is_used_where_offered(relay: Any, transport_to: Any) -> None:
    """With PIPELINING, after a refused mail the next one still uses its connection."""
    relay.extensions.append("PIPELINING")
    transport = transport_to(relay.port)
    relay.script["RCPT"] = ["550 5.1.1 no such user"]
    with pytest.raises(Refusal):
        await transport.send(TO, MAIL)
    await transport.send(TO, MAIL)
    assert relay.connections == 1 and len(relay.messages) == 1
    assert relay.verbs() == ["EHLO", "MAIL", "RCPT", "DATA", "RSET", "MAIL", "RCPT", "DATA"]


async def test_after_a_refusal_the_conversation_is_reset(relay: Any, transport_to: Any) -> None:
    """A refused mail leaves the connection usable: the next one begins with RSET."""
    transport = transport_to(relay.port)
    relay.script["RCPT"] = ["550 5.1.1 no such user"]
    with pytest.raises(Refusal):
        await transport.send(TO, MAIL)
    await transport.send(TO, MAIL)
    assert relay.connections == 1
    assert relay.verbs() == ["EHLO", "MAIL", "RCPT", "RSET", "MAIL", "RCPT", "DATA"]


TRANSIENT, PERMANENT, DOWN, US = "transient", "permanent", "down", "about us"


@PIPELINING
@pytest.mark.parametrize(
    ("verb", "answer", "meaning", "code"),
    [
        ("GREETING", "554 5.7.1 go away", DOWN, None),
        ("GREETING", "421 4.3.2 too busy", DOWN, None),
        ("GREETING", "drop", DOWN, None),
        ("GREETING", "hang", DOWN, None),
        ("GREETING", "HTTP/1.1 400 Bad Request", DOWN, None),
        ("EHLO", "501 5.5.4 what", DOWN, None),
        ("EHLO", "421 4.3.2 too busy", DOWN, None),
        ("EHLO", "drop", DOWN, None),
        ("MAIL", "530 5.7.0 log in first", US, 530),
        ("MAIL", "550 5.7.1 sender refused", US, 550),
        ("MAIL", "421 4.7.0 later", US, 421),
        ("MAIL", "451 4.3.0 disk", US, 451),
        ("MAIL", "500 what", US, 500),
        ("MAIL", "499 what", US, 499),
        ("MAIL", "400 what", US, 400),
        ("MAIL", "552 5.3.4 too large", PERMANENT, 552),
        ("MAIL", "drop", US, None),
        ("MAIL", "hang", US, None),
        ("RCPT", "550 5.1.1 no such user", PERMANENT, 550),
        ("RCPT", "535 5.7.8 who are you", US, 535),
        ("RCPT", "450 4.2.1 greylisted", TRANSIENT, 450),
        ("RCPT", "421 4.7.0 enough", US, 421),
        ("RCPT", "500 what", PERMANENT, 500),
        ("RCPT", "499 what", TRANSIENT, 499),
        ("RCPT", "400 what", TRANSIENT, 400),
        ("RCPT", "hang", US, None),
        ("RCPT", "drop", US, None),
        ("DATA", "554 5.5.1 no", PERMANENT, 554),
        ("DATA", "451 4.3.0 later", TRANSIENT, 451),
        ("DATA", "250 what", TRANSIENT, None),
        ("DATA", "drop", US, None),
        ("DATA", "hang", US, None),
        ("DATA", "what?", US, None),
        (".", "554 5.7.1 spam", PERMANENT, 554),
        (".", "552 5.2.2 mailbox full", PERMANENT, 552),
        (".", "451 4.7.1 try again", TRANSIENT, 451),
        (".", "421 4.3.0 going down", TRANSIENT, 421),
        (".", "drop", TRANSIENT, None),
        (".", "drop after dot", TRANSIENT, None),
        (".", "hang", TRANSIENT, None),
        (".", "550 5.4.5 Daily user sending limit exceeded", US, 550),
        (".", "500 what", PERMANENT, 500),
        (".", "499 what", TRANSIENT, 499),
    ],
)
async def test_what_an_answer_means(
    relay: Any, transport_to: Any, verb: str, answer: str, meaning: str, code: int | None, pipelining: bool
) -> None:
    """Each answer, by its place and words, is the relay's failure, about us, or this mail's, for now or for good."""
    relay.extensions += ["PIPELINING"] * pipelining
    transport = transport_to(relay.port, timeout="1s" if answer == "hang" else "20s")
    relay.script[verb] = answer
    with pytest.raises(RelayDown if meaning is DOWN else Refusal) as caught:
        await transport.send(TO, MAIL)
    if isinstance(caught.value, Refusal):
        about_us = caught.value.subject is Subject.US
        assert (about_us, caught.value.code) == (meaning is US, code)
        assert about_us or caught.value.permanent is (meaning is PERMANENT)
    else:
        assert f"relay 127.0.0.1:{relay.port} (BACKEND_SMTP_HOST)" in str(caught.value)
    relay.script.clear()
    assert (await transport.send(TO, MAIL)).code == 250


@PIPELINING
@pytest.mark.parametrize(
    ("verb", "answer", "taken"),
    [
        *(("RCPT", "drop", False), ("DATA", "drop", False), (".", "drop", True), (".", "drop after dot", True)),
        *(("RCPT", "hang", False), ("DATA", "hang", False), (".", "hang", True)),
    ],
)
async def test_a_lost_mail_may_have_been_taken_only_once_it_was_sent(
    relay: Any, transport_to: Any, verb: str, answer: str, taken: bool, pipelining: bool
) -> None:
    """After a connection lost before the message was sent, the relay certainly does not have it."""
    relay.extensions += ["PIPELINING"] * pipelining
    relay.script[verb] = answer
    with pytest.raises(Refusal) as caught:
        await transport_to(relay.port, timeout="1s").send(TO, MAIL)
    assert caught.value.handed_over is taken
    assert caught.value.detail.startswith("RCPT TO: " if verb == "RCPT" else "DATA: ")
    assert caught.value.detail.endswith("; the relay may have accepted it") is taken


async def test_refusals_name_nobody(relay: Any, transport_to: Any) -> None:
    """The relay's reply is kept without addresses."""
    relay.script["RCPT"] = "550 5.1.1 <ada@example.test>: user ada unknown"
    with pytest.raises(Refusal) as caught:
        await transport_to(relay.port).send(TO, MAIL)
    assert caught.value.detail == "RCPT TO: 550 5.1.1 <address>: user <address> unknown"


async def test_nobody_listens(transport_to: Any, unused_tcp_port: int) -> None:
    """An unreachable relay is down, and named."""
    with pytest.raises(RelayDown, match=f"127.0.0.1:{unused_tcp_port}"):
        await transport_to(unused_tcp_port).send(TO, MAIL)


async def test_utf8_needs_the_relay(relay: Any, transport_to: Any) -> None:
    """An address that is not ASCII is permanently refused by a relay without SMTPUTF8, and accepted by one with it."""
    transport = transport_to(relay.port)
    await transport.send("ädä@example.test", MAIL)
    assert any(" SMTPUTF8" in command for command in relay.commands if command.startswith("MAIL"))
    relay.extensions.clear()
    with pytest.raises(Refusal, match="SMTPUTF8") as caught:
        await transport_to(relay.port).send("ädä@example.test", MAIL)
    assert caught.value.permanent


async def test_cancelled_conversation_is_not_continued(relay: Any, transport_to: Any) -> None:
    """A connection whose conversation was cancelled is not used for another mail."""
    transport = transport_to(relay.port)
    relay.script["DATA"] = ["hang"]
    task = asyncio.create_task(transport.send(TO, MAIL))
    while "DATA" not in relay.verbs():
        await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.wait([task])
    assert (await transport.send(TO, MAIL)).code == 250
    assert relay.connections == 2


async def test_check_keeps_the_connection(relay: Any, transport_to: Any) -> None:
    """A check opens a connection and keeps it for the next mail; a second one uses the same."""
    transport = transport_to(relay.port)
    await transport.check()
    await transport.check()
    await transport.send(TO, MAIL)
    assert relay.connections == 1 and relay.verbs().count("NOOP") == 2


@pytest.mark.parametrize("verb", ["EHLO", "NOOP"])
async def test_a_cancelled_check_leaves_no_connection(relay: Any, transport_to: Any, verb: str) -> None:
    """A check that is cancelled in the middle, or while it connects, closes its connection."""
    transport = transport_to(relay.port)
    relay.script[verb] = ["hang"]
    task = asyncio.create_task(transport.check())
    while verb not in relay.verbs():
        await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.wait([task])
    async with asyncio.timeout(10):
        while not relay.deserted():
            await asyncio.sleep(0.01)
    assert task.cancelled()


@pytest.mark.parametrize("answer", ["drop", "hang", "500 what"])
async def test_check_finds_a_dead_relay(relay: Any, transport_to: Any, answer: str) -> None:
    """A relay that does not answer a NOOP is down."""
    relay.script["NOOP"] = answer
    with pytest.raises(RelayDown):
        await transport_to(relay.port, timeout="1s").check()


@PIPELINING
@pytest.mark.parametrize("mode", ["starttls", "implicit"])
async def test_tls_with_a_login(
    certificate: Any, transport_to: Any, mode: str, new_relay: Any, pipelining: bool
) -> None:
    """Over verified TLS the login and the mail succeed."""
    async with new_relay(certificate.server, implicit=mode == "implicit") as relay:
        relay.extensions += ["PIPELINING"] * pipelining
        relay.extensions.append("AUTH PLAIN")
        options = {"host": "localhost", "ca_file": str(certificate.ca_file), "username": "ada", "password": "hunter2"}
        assert (await transport_to(relay.port, tls_mode=mode, **options).send(TO, MAIL)).code == 250
    assert relay.verbs().count("AUTH") == 1


@pytest.mark.parametrize("mode", ["starttls", "implicit"])
async def test_unknown_certificates_are_refused(certificate: Any, transport_to: Any, mode: str, new_relay: Any) -> None:
    """A relay with an untrusted certificate gets nothing, and the setting that helps is named."""
    async with new_relay(certificate.server, implicit=mode == "implicit") as relay:
        with pytest.raises(RelayDown, match="BACKEND_SMTP_CA_FILE"):
            await transport_to(relay.port, host="localhost", tls_mode=mode).send(TO, MAIL)
    assert "MAIL" not in relay.verbs()


async def test_wrong_names_are_refused(certificate: Any, transport_to: Any, new_relay: Any) -> None:
    """A trusted certificate for another name is still refused."""
    async with new_relay(certificate.server) as relay:
        transport = transport_to(relay.port, host="127.0.0.1", tls_mode="starttls", ca_file=str(certificate.ca_file))
        with pytest.raises(RelayDown, match="CERTIFICATE_VERIFY_FAILED"):
            await transport.send(TO, MAIL)


async def test_starttls_is_never_skipped(relay: Any, transport_to: Any) -> None:
    """A relay that offers no STARTTLS, or an attacker that hides it, gets neither login nor mail."""
    relay.extensions.append("AUTH PLAIN")
    with pytest.raises(RelayDown, match="STARTTLS"):
        await transport_to(relay.port, tls_mode="starttls", username="ada", password="hunter2").send(TO, MAIL)
    assert relay.verbs() == ["EHLO"]


async def test_refused_login(certificate: Any, transport_to: Any, new_relay: Any) -> None:
    """A relay that refuses our login is down; the variables are named, the password is not shown."""
    async with new_relay(certificate.server) as relay:
        relay.extensions.append("AUTH PLAIN LOGIN")
        relay.script["AUTH"] = "535 5.7.8 bad credentials"
        options = {"host": "localhost", "ca_file": str(certificate.ca_file), "username": "ada", "password": "hunter2"}
        with pytest.raises(RelayDown, match="BACKEND_SMTP_USERNAME and BACKEND_SMTP_PASSWORD") as caught:
            await transport_to(relay.port, tls_mode="starttls", **options).send(TO, MAIL)
    assert "535 5.7.8" in str(caught.value) and "hunter2" not in str(caught.value)


@pytest.mark.parametrize("code", [500, 502])
async def test_a_relay_without_extensions(relay: Any, transport_to: Any, code: int) -> None:
    """A relay that knows only HELO accepts mails too: nothing of EHLO's extensions is used (RFC 5321, 2.2.1)."""
    relay.script["EHLO"] = f"{code} unknown command"
    assert (await transport_to(relay.port).send(TO, MAIL)).code == 250
    assert [command.split()[0] for command in relay.commands] == ["EHLO", "HELO", "MAIL", "RCPT", "DATA"]
    assert "SIZE" not in next(command for command in relay.commands if command.startswith("MAIL"))


async def test_no_fallback_where_extensions_are_needed(relay: Any, transport_to: Any) -> None:
    """With STARTTLS a relay that knows only HELO stays down: it cannot do what is set."""
    relay.script["EHLO"] = "502 unknown command"
    with pytest.raises(RelayDown, match="502"):
        await transport_to(relay.port, tls_mode="starttls").send(TO, MAIL)
    assert relay.verbs() == ["EHLO"]


@pytest.mark.parametrize("script", [{"EHLO": "501 no"}, {"EHLO": "502 no", "HELO": "550 no"}, {"GREETING": "554 no"}])
async def test_a_failed_greeting_leaves_no_connection(relay: Any, transport_to: Any, script: Any) -> None:
    """The connection to a relay that refuses the greeting is closed."""
    relay.script.update(script)
    with pytest.raises(RelayDown):
        await transport_to(relay.port).send(TO, MAIL)
    async with asyncio.timeout(10):
        while relay.writers:
            await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    ("host", "greeted"),
    [
        *(("abc123", "[127.0.0.1]"), ("a_b", "[127.0.0.1]"), ("localhost", "[127.0.0.1]")),
        *(("a_b.example.org", "[127.0.0.1]"), ("localhost.localdomain", "[127.0.0.1]"), ("10.0.0.7", "[127.0.0.1]")),
        *(("mail.example.org", "mail.example.org"), ("mail.example.org.", "mail.example.org")),
    ],
)
async def test_the_greeting_is_a_full_name_or_an_address(
    relay: Any, transport_to: Any, monkeypatch: pytest.MonkeyPatch, host: str, greeted: str
) -> None:
    """EHLO has the host's name where it is fully qualified, else the connection's own address, also for HELO."""
    monkeypatch.setattr("socket.gethostname", lambda: host)
    relay.script["EHLO"] = "500 unknown command"
    await transport_to(relay.port).send(TO, MAIL)
    assert relay.commands[:2] == [f"EHLO {greeted}", f"HELO {greeted}"]


async def test_the_greeting_can_be_set(certificate: Any, transport_to: Any, new_relay: Any) -> None:
    """A name that is set goes into each greeting, before and after STARTTLS."""
    async with new_relay(certificate.server) as relay:
        options = {"host": "localhost", "ca_file": str(certificate.ca_file), "helo_name": "out.example.org"}
        await transport_to(relay.port, tls_mode="starttls", **options).send(TO, MAIL)
    assert [command for command in relay.commands if command.startswith("EHLO")] == ["EHLO out.example.org"] * 2
