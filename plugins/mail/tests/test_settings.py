"""The relay's settings: defaults and refusals."""

from datetime import timedelta
from typing import Any

import pytest

from galaxy_chassis.config.loading import Raw, load
from galaxy_chassis.errors import ConfigurationError
from galaxy_mail.settings import MailSettings, is_private


def read(**variables: str) -> MailSettings:
    """Read the group as the kernel does."""
    raw = {f"BACKEND_{name}": Raw(value, "test") for name, value in variables.items()}
    loaded = load({"mail": MailSettings}, raw)
    loaded.check("serve")
    return loaded.settings_of("mail", MailSettings)


def test_defaults() -> None:
    """With nothing set, mails go to the submission port of this machine by STARTTLS."""
    settings = read()
    assert (settings.max_attempts, settings.worker_interval) == (8, timedelta(seconds=2))
    smtp = settings.smtp
    assert (smtp.host, smtp.relay_port, smtp.tls_mode, smtp.timeout) == (
        "127.0.0.1",
        587,
        "starttls",
        timedelta(seconds=20),
    )
    assert str(smtp.sender) == "Galaxy <galaxy@localhost>"


@pytest.mark.parametrize(("mode", "port"), [("starttls", 587), ("implicit", 465), ("none", 25)])
def test_port_follows_the_mode(mode: str, port: int) -> None:
    """Unless it is set, the port is the usual one of the mode."""
    assert read(SMTP_TLS_MODE=mode).smtp.relay_port == port
    assert read(SMTP_TLS_MODE=mode, SMTP_PORT="2525").smtp.relay_port == 2525


@pytest.mark.parametrize(
    ("variable", "variables"),
    [
        ("BACKEND_SMTP_TLS_MODE", {"SMTP_TLS_MODE": "none", "SMTP_HOST": "smtp.example.com"}),
        ("BACKEND_SMTP_TLS_MODE", {"SMTP_TLS_MODE": "none", "SMTP_HOST": "198.51.100.7.example.org"}),
        ("BACKEND_SMTP_TLS_MODE", {"SMTP_TLS_MODE": "none", "SMTP_HOST": "8.8.8.8"}),
        ("BACKEND_SMTP_TLS_MODE", {"SMTP_TLS_MODE": "none", "SMTP_USERNAME": "ada", "SMTP_PASSWORD": "hunter2"}),
        ("BACKEND_SMTP_TLS_MODE", {"SMTP_TLS_MODE": "maybe"}),
        ("BACKEND_SMTP_PASSWORD", {"SMTP_USERNAME": "ada"}),
        ("BACKEND_SMTP_PASSWORD", {"SMTP_PASSWORD": "hunter2"}),
        ("BACKEND_SMTP_FROM", {"SMTP_FROM": "nobody"}),
        ("BACKEND_SMTP_FROM", {"SMTP_FROM": "Ada <ada@example.test>\r\nBcc: eve@example.test"}),
        ("BACKEND_SMTP_FROM", {"SMTP_FROM": "ädä@example.test"}),
        ("BACKEND_SMTP_HOST", {"SMTP_HOST": "smtp.example.com MAIL"}),
        ("BACKEND_SMTP_PORT", {"SMTP_PORT": "70000"}),
        ("BACKEND_SMTP_TIMEOUT", {"SMTP_TIMEOUT": "61s"}),
        ("BACKEND_SMTP_TIMEOUT", {"SMTP_TIMEOUT": "0s"}),
        ("BACKEND_SMTP_CONNECTIONS", {"SMTP_CONNECTIONS": "0"}),
        ("BACKEND_SMTP_CA_FILE", {"SMTP_CA_FILE": "/nowhere/ca.pem"}),
        ("BACKEND_MAIL_MAX_ATTEMPTS", {"MAIL_MAX_ATTEMPTS": "0"}),
        ("BACKEND_MAIL_WORKER_INTERVAL", {"MAIL_WORKER_INTERVAL": "often"}),
    ],
)
def test_faults_name_their_variable(variable: str, variables: dict[str, Any]) -> None:
    """An invalid value is refused under the name of its variable, and not shown."""
    with pytest.raises(ConfigurationError) as caught:
        read(**variables)
    assert [fault.variable for fault in caught.value.faults] == [variable]
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("host", "private"),
    [
        ("127.0.0.1", True),
        ("::1", True),
        ("[::1]", True),
        ("10.1.2.3", True),
        ("172.20.0.2", True),
        ("fd00::25", True),
        ("localhost", True),
        ("mailsink", True),
        ("postfix.mail.svc.cluster.local", True),
        ("smtp.example.com", False),
        ("93.184.216.34", False),
        ("2606:2800:220:1::1", False),
    ],
)
def test_private_hosts(host: str, private: bool) -> None:
    """This machine, private addresses and names that are not public may be without TLS; others may not."""
    assert is_private(host) is private


def test_sender_without_a_name() -> None:
    """A bare address is valid as the sender."""
    assert read(SMTP_FROM="galaxy@example.com").smtp.sender.addr_spec == "galaxy@example.com"
