"""`backend doctor` and the relay: each fault is found before the first mail, with what to do."""

from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from galaxy_kernel.api import Finding
from galaxy_mail import doctor
from galaxy_mail.doctor import check_queue, check_relay, check_sender, send_test_mail


async def looked(settings: Any) -> Finding:
    """Return the finding on a relay."""
    (found,) = await check_relay(settings)
    return found


async def test_a_relay_that_takes_our_mails(relay: Any, smtp: Any) -> None:
    """It is asked up to the sender, and no mail is sent."""
    assert (await looked(smtp(relay.port))).state == "ok"
    assert relay.verbs()[1:] == ["MAIL", "RSET", "QUIT"]
    assert relay.messages == []


async def test_a_relay_with_tls(new_relay: Any, smtp: Any, certificate: Any) -> None:
    """A certificate that is trusted passes, with a login on top; one that is not names its variable."""
    async with new_relay(certificate.server) as relay:
        relay.extensions.append("AUTH PLAIN")
        login = {"username": "galaxy", "password": "x"}
        trusted = smtp(relay.port, host="localhost", tls_mode="starttls", ca_file=certificate.ca_file, **login)
        assert (await looked(trusted)).state == "ok"
        assert "AUTH" in relay.verbs()
        found = await looked(smtp(relay.port, host="localhost", tls_mode="starttls"))
        assert found.state == "failed" and "BACKEND_SMTP_CA_FILE" in found.detail


SCRIPTS: dict[str, tuple[dict[str, str], str]] = {
    "greeting": ({"GREETING": "554 go away"}, "554 go away"),
    "sender": (
        {"MAIL": "550 5.7.1 not yours"},
        "MAIL FROM: 550 5.7.1 not yours; it does not take mails from BACKEND_SMTP_FROM",
    ),
    "login": ({"AUTH": "535 5.7.8 wrong"}, "check BACKEND_SMTP_USERNAME and BACKEND_SMTP_PASSWORD"),
    "starttls": ({}, "set BACKEND_SMTP_TLS_MODE=implicit"),
}


@pytest.mark.parametrize("where", SCRIPTS)
async def test_a_relay_that_refuses_us(new_relay: Any, relay: Any, smtp: Any, certificate: Any, where: str) -> None:
    """The stage, its words and the remedy are in one sentence."""
    script, says = SCRIPTS[where]
    if where == "login":
        async with new_relay(certificate.server, implicit=True) as other:
            other.script |= script
            other.extensions.append("AUTH PLAIN")
            tls = {"tls_mode": "implicit", "host": "localhost", "ca_file": certificate.ca_file}
            found = await looked(smtp(other.port, username="galaxy", password="x", **tls))
    else:
        relay.script |= script
        found = await looked(smtp(relay.port, tls_mode="starttls" if where == "starttls" else "none"))
    assert found.state == "failed"
    assert says in found.detail


async def test_a_relay_that_does_not_begin_with_tls(relay: Any, smtp: Any) -> None:
    """The mode is named that would do."""
    found = await looked(smtp(relay.port, tls_mode="implicit"))
    assert found.state == "failed" and "BACKEND_SMTP_TLS_MODE=starttls" in found.detail


async def test_a_relay_that_says_nothing(
    new_relay: Any, smtp: Any, certificate: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that waits for TLS is silent to us."""
    monkeypatch.setattr(doctor, "_PATIENCE", timedelta(milliseconds=50))
    async with new_relay(certificate.server, implicit=True) as relay:
        found = await looked(smtp(relay.port))
    assert found.state == "failed" and "is BACKEND_SMTP_TLS_MODE right for the port?" in found.detail


@pytest.mark.parametrize(
    ("changed", "says"),
    [({"port": 1}, "is BACKEND_SMTP_PORT right?"), ({"host": "no-such-host.test"}, "does not resolve")],
)
async def test_a_relay_that_is_not_there(smtp: Any, changed: dict[str, Any], says: str) -> None:
    """Host or port are wrong."""
    found = await looked(smtp(changed.pop("port", 25), **changed))
    assert found.state == "failed" and says in found.detail


async def test_a_file_without_certificates(smtp: Any, tmp_path: Path) -> None:
    """The variable is named."""
    file = tmp_path / "ca.pem"
    file.write_text("nothing")
    found = await looked(smtp(25, ca_file=file))
    assert found.state == "failed" and "BACKEND_SMTP_CA_FILE" in found.detail


@pytest.mark.parametrize(
    ("host", "sender", "state"),
    [
        ("smtp.example.org", "galaxy@localhost", "warning"),
        ("smtp.example.org", "galaxy@example.org", "ok"),
        ("127.0.0.1", "galaxy@localhost", "ok"),
    ],
)
async def test_a_sender_that_nobody_can_answer(smtp: Any, host: str, sender: str, state: str) -> None:
    """The default is for a relay on this machine."""
    (found,) = await check_sender(smtp(25, host=host, from_=sender, tls_mode="starttls"))
    assert found.state == state


async def test_a_test_mail(sink: Any, relay: Any, smtp: Any) -> None:
    """It arrives; a refusal is shown in the relay's words, and a malformed address is not sent to."""
    (found,) = await send_test_mail(smtp(sink.port), "ada@example.test")
    assert found.state == "ok"
    ((recipient, content),) = sink.received
    assert recipient == "ada@example.test" and b"Subject: Test mail of Galaxy Backend" in content
    relay.script["RCPT"] = "550 5.1.1 nobody here"
    (found,) = await send_test_mail(smtp(relay.port), "ada@example.test")
    assert found.state == "failed" and "RCPT TO: 550 5.1.1 nobody here" in found.detail
    (found,) = await send_test_mail(smtp(relay.port), "nobody")
    assert found.state == "failed" and "--send-test-mail" in found.detail
    (found,) = await send_test_mail(smtp(1), "ada@example.test")
    assert found.state == "failed" and "BACKEND_SMTP_PORT" in found.detail


@pytest.mark.parametrize(
    ("change", "state"),
    [
        ("next_attempt_at = now()", "ok"),
        ("next_attempt_at = now() - interval '1 hour'", "warning"),
        ("state = 'dead_lettered', next_attempt_at = NULL, finished_at = now()", "warning"),
        ("state = 'dead_lettered', next_attempt_at = NULL, finished_at = now() - interval '2 days'", "ok"),
        ("state = 'sent', next_attempt_at = NULL, finished_at = now() - interval '1 hour'", "ok"),
    ],
)
async def test_mails_that_wait_or_were_given_up(rig: Any, database: Any, change: str, state: str) -> None:
    """What an operator should look at is counted; old troubles are not."""
    await rig.enqueue()
    async with database.transaction() as connection:
        await connection.exec_driver_sql(f"UPDATE mail_deliveries SET {change}")
    (found,) = await check_queue(SimpleNamespace(database=database))  # type: ignore[arg-type] # all that it uses
    assert found.state == state
    assert found.detail.startswith("1 mails") == (state == "warning")
