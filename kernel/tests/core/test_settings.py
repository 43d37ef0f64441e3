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


@pytest.mark.parametrize(
    ("secret", "fits"),
    [
        (SECRET[:31], False),
        (SECRET[:32], True),
        ("äöüßéèêëàáâ" + "ä" * 5, True),
        ("", False),
        ("a" * 32, False),
        ("123456789" * 8, False),
        ("1234567890" * 4, True),
        ("0f8fad5bd9cb469fa16570867728950e", True),
    ],
)
@pytest.mark.parametrize("name", ["secret_key", "gateway_token"])
def test_secrets_are_long_and_varied(name: str, secret: str, fits: bool) -> None:
    """32 bytes, not characters, and ten different ones; the fault says how to make one and does not show this one."""
    if fits:
        assert getattr(settings(**{name: secret}), name).get_secret_value() == secret
        return
    with pytest.raises(ValidationError, match="openssl rand") as caught:
        settings(**{name: secret})
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


@pytest.mark.parametrize(
    ("networks", "warned"),
    [
        ("10.0.0.0/8, fd00::/8, 127.0.0.1/32", ""),
        ("0.0.0.0/0,::/0", "0.0.0.0/0, ::/0"),
        ("10.0.0.0/8,128.0.0.0/1", "128.0.0.0/1"),
    ],
)
def test_trusting_everybody_is_warned_of(networks: str, warned: str) -> None:
    """A trusted network wider than /8 is hardly meant."""
    found = settings(trusted_proxies=networks).warnings
    assert [str(each).partition(" is wider")[0] for each in found] == (
        [f"BACKEND_TRUSTED_PROXIES: {warned}"] if warned else []
    )


def test_without_a_gateways_token_there_is_none() -> None:
    """None closes the gateway's routes; an empty string would be a token that anybody can show."""
    assert settings().token is None
    assert settings(gateway_token=SECRET).token == SECRET


def test_no_secret_shows() -> None:
    """Whatever prints the settings, secrets are not in it."""
    made = settings(secret_key=SECRET, postgres_dsn=DSN, gateway_token="a token of the gateway, that is long")
    assert isinstance(made.secret_key, SecretStr)
    assert not any(secret in f"{made!r} {made}" for secret in (SECRET, "hunter2", "a token of"))


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
