"""The kernel's own settings: what is refused, and what is read of them."""

from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

from galaxy_chassis.config.loading import describe
from galaxy_chassis.errors import ConfigurationError
from galaxy_kernel.core.settings import KERNEL, KernelSettings

SECRET = "a secret key for tests, of more than 32 bytes"
DSN = "postgres://galaxy:hunter2@db/galaxy?search_path=ours"


def settings(**fields: Any) -> KernelSettings:
    return KernelSettings.model_validate(fields)


@pytest.mark.parametrize(("secret", "fits"), [("x" * 31, False), ("x" * 32, True), ("ä" * 16, True), ("", False)])
def test_the_secret_key_has_32_bytes(secret: str, fits: bool) -> None:
    """Bytes, not characters; the fault says how to make one and does not show this one."""
    if fits:
        assert settings(secret_key=secret).secret == secret.encode()
        return
    with pytest.raises(ValidationError, match="openssl rand") as caught:
        settings(secret_key=secret)
    assert not secret or secret not in str(caught.value)


def test_a_dsn_is_looked_at_and_kept_as_it_is() -> None:
    """A DSN that cannot be used is a fault at once, without the password."""
    assert settings(postgres_dsn=DSN).dsn == DSN
    with pytest.raises(ValidationError) as caught:
        settings(postgres_dsn=DSN.replace("postgres", "mysql"))
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(("read", "variable"), [("dsn", "BACKEND_POSTGRES_DSN"), ("secret", "BACKEND_SECRET_KEY")])
def test_what_is_not_set_is_missed_when_it_is_read(read: str, variable: str) -> None:
    """Commands that do without it never ask."""
    with pytest.raises(ConfigurationError) as caught:
        getattr(settings(), read)
    assert [fault.variable for fault in caught.value.faults] == [variable]


def test_without_a_gateways_token_there_is_none() -> None:
    """None closes the gateway's routes; an empty string would be a token that anybody can show."""
    assert settings().token is None
    assert settings(gateway_token="t").token == "t"


def test_no_secret_shows() -> None:
    """Whatever prints the settings, secrets are not in it."""
    made = settings(secret_key=SECRET, postgres_dsn=DSN, gateway_token="tok-en")
    assert isinstance(made.secret_key, SecretStr)
    assert not any(secret in f"{made!r} {made}" for secret in (SECRET, "hunter2", "tok-en"))


def test_defaults_are_those_of_production() -> None:
    """A service that is told nothing but its secrets migrates, exports and listens on the loopback alone."""
    made = settings()
    assert made.migrate_on_start and made.config_strict
    assert made.otel_traces_exporter == made.otel_metrics_exporter == "otlp"
    assert all(
        address.startswith("127.0.0.1:")
        for address in (made.http_listen_addr, made.push_listen_addr, made.otel_prometheus_listen_addr)
    )


def test_which_commands_need_what() -> None:
    """The marks are those that `backend` goes by."""
    needed = {variable.name: set(variable.required_by) for variable in describe(KERNEL, KernelSettings)}
    assert {name: by for name, by in needed.items() if by} == {
        "BACKEND_SECRET_KEY": {"serve"},
        "BACKEND_POSTGRES_DSN": {"serve", "migrate"},
    }
