"""Configuration from variables and file to settings groups."""

from datetime import timedelta
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Optional

import pytest
from annotated_types import Ge
from pydantic import Field, FilePath, SecretStr

from galaxy_chassis.config.loading import Configuration, describe, load, read_environment
from galaxy_chassis.config.settings import Duration, NoSettings, Settings
from galaxy_chassis.errors import ConfigurationError
from galaxy_kernel.core.settings import KernelSettings

SECRET = "correct horse battery staple, thirty-two bytes"


class Relay(Settings):
    """A group inside a group."""

    prefix: ClassVar[str | None] = "BACKEND_SMTP_"

    host: str = "127.0.0.1"
    """Where the relay is."""
    password: SecretStr | None = None
    """What opens it."""
    tls_mode: Literal["starttls", "none"] = "starttls"
    """How it is sealed."""


class Mail(Settings):
    """A plugin's group."""

    worker_interval: Annotated[Duration, Ge(timedelta(milliseconds=100))] = timedelta(seconds=2)
    """Longest wait."""
    max_attempts: int = 8
    """Tries."""
    relay: Relay = Relay()
    """The relay."""


def configure(
    environment: dict[str, str], groups: dict[str, type[Settings]] | None = None, **kwargs: Any
) -> Configuration:
    groups = {"mail": Mail} if groups is None else groups
    return load(groups, read_environment(environment), **kwargs)


def faults(configuration: Configuration) -> dict[str, str]:
    return {fault.variable: fault.message for fault in configuration.faults}


def test_variables_follow_plugin_and_group() -> None:
    """The plugin's prefix is BACKEND_<PLUGIN>_, a group's own prefix has precedence."""
    names = [variable.name for variable in describe("mail", Mail)]
    assert names == [
        "BACKEND_MAIL_WORKER_INTERVAL",
        "BACKEND_MAIL_MAX_ATTEMPTS",
        "BACKEND_SMTP_HOST",
        "BACKEND_SMTP_PASSWORD",
        "BACKEND_SMTP_TLS_MODE",
    ]


def test_types_are_named_for_people() -> None:
    """Also where a setting may be left out, however that is written."""

    class Everything(Settings):
        """Each type, with a default and without one."""

        number: int = 1
        few: int | None = None
        share: Optional[float] = None  # noqa: UP045 - settings may be written like that
        secret: SecretStr | None = None
        file: Path | None = None
        on: bool = False
        name: str | None = None
        mode: Literal["a", "b"] | None = None
        pause: Duration | None = None
        wait: Annotated[Duration, Ge(timedelta(0))] = timedelta(0)

    types = [(variable.path[0], variable.type) for variable in describe("test", Everything)]
    assert types == [
        *(("number", "integer"), ("few", "integer"), ("share", "number"), ("secret", "secret"), ("file", "path")),
        *(("on", "boolean"), ("name", "text"), ("mode", "one of a, b"), ("pause", "duration"), ("wait", "duration")),
    ]


def test_values_are_read_typed() -> None:
    """Text becomes the field's type, in nested groups too."""
    settings = configure({"BACKEND_MAIL_WORKER_INTERVAL": "500ms", "BACKEND_SMTP_HOST": "relay"}).settings_of(
        "mail", Mail
    )
    assert (settings.worker_interval, settings.relay.host) == (timedelta(milliseconds=500), "relay")


def test_every_fault_is_reported_at_once_by_variable() -> None:
    """One run shows every fault, with what was expected."""
    found = faults(
        configure(
            {
                "BACKEND_MAIL_WORKER_INTERVAL": "soon",
                "BACKEND_MAIL_MAX_ATTEMPTS": "many",
                "BACKEND_SMTP_TLS_MODE": "ssl",
                "BACKEND_MAIL_MAX_ATEMPTS": "3",
            }
        )
    )
    assert found["BACKEND_MAIL_WORKER_INTERVAL"] == "expected a duration such as 500ms, 2s, 5m or 1h"
    assert found["BACKEND_MAIL_MAX_ATTEMPTS"] == "expected a whole number"
    assert found["BACKEND_SMTP_TLS_MODE"] == "expected 'starttls' or 'none'"
    assert found["BACKEND_MAIL_MAX_ATEMPTS"] == "unknown variable: did you mean BACKEND_MAIL_MAX_ATTEMPTS?"


@pytest.mark.parametrize(
    ("variable", "text", "message"),
    [
        ("BACKEND_MAIL_WORKER_INTERVAL", "50ms", "expected at least 100ms"),
        ("BACKEND_SMTP_CA_FILE", "/no/such", "expected a path to a file that exists"),
        ("BACKEND_SMTP_PORT", "-1", "expected at least 1"),
        ("BACKEND_SMTP_NAME", "", "required"),
        ("BACKEND_SMTP_NAME", "a", "expected at least 2 characters"),
    ],
)
def test_bounds_are_said_as_operators_write_them(variable: str, text: str, message: str) -> None:
    """A duration as `100ms`, and nothing in the words of Python."""

    class Bounded(Settings):
        prefix: ClassVar[str | None] = "BACKEND_SMTP_"
        name: Annotated[str, Field(min_length=2)]
        port: Annotated[int, Ge(1)] = 25
        ca_file: FilePath | None = None

    found = faults(configure({"BACKEND_SMTP_NAME": "relay", variable: text}, {"mail": Mail, "relay": Bounded}))
    assert found[variable] == message


def test_unknown_variable_is_a_warning_when_not_strict() -> None:
    """Strictness can be turned off."""
    configuration = configure({"BACKEND_MIAL": "1"}, strict=False)
    assert configuration.faults == ()
    assert [fault.variable for fault in configuration.warnings] == ["BACKEND_MIAL"]


def test_what_kubernetes_injects_is_passed_over() -> None:
    """A Service called `backend` does not stop the pods behind it."""
    injected = {
        "BACKEND_SERVICE_HOST": "10.0.0.1",
        "BACKEND_SERVICE_PORT_HTTP": "1",
        "BACKEND_PORT_8080_TCP": "x",
        "BACKEND_PORT": "y",
    }
    assert configure(injected).faults == ()


LINKS = {
    "BACKEND_PUSH_SERVICE_HOST": "10.0.0.2",
    "BACKEND_PUSH_SERVICE_PORT": "8081",
    "BACKEND_PUSH_SERVICE_PORT_GRPC": "8081",
    "BACKEND_PUSH_PORT": "tcp://10.0.0.2:8081",
    "BACKEND_PUSH_PORT_8081_TCP": "tcp://10.0.0.2:8081",
    "BACKEND_PUSH_PORT_8081_TCP_PROTO": "tcp",
    "BACKEND_PUSH_PORT_8081_TCP_PORT": "8081",
    "BACKEND_PUSH_PORT_8081_TCP_ADDR": "10.0.0.2",
}
"""What Kubernetes adds for a service called `backend-push`."""


def test_services_below_our_prefix_are_passed_over_with_one_warning() -> None:
    """Adding a service `backend-push` does not stop the pods; a misspelt variable does, whatever it looks like."""
    configuration = configure(LINKS)
    assert configuration.faults == ()
    (warning,) = configuration.warnings
    assert "7 others" in warning.message
    assert "enableServiceLinks: false" in warning.message
    for name, text in (("BACKEND_PUSH_PROT", "8081"), ("BACKEND_SMPT_PORT", "25"), ("BACKEND_PUSH_PORT_GRPC", "1")):
        assert [fault.variable for fault in configure({**LINKS, name: text}).faults] == [name]


def test_a_setting_that_a_service_link_overwrites_counts_as_not_set() -> None:
    """A service `backend-mail` would set the port of another plugin's setting of that name."""

    class Relay(Settings):
        prefix: ClassVar[str | None] = "BACKEND_SMTP_"

        port: int = 587
        """Where the relay listens."""

    for value in ("tcp://10.0.0.2:25", "udp://[fd00::1]:25"):
        configuration = configure({"BACKEND_SMTP_PORT": value}, {"mail": Relay})
        assert (configuration.faults, configuration.settings_of("mail", Relay).port) == ((), 587)
        assert [warning.variable for warning in configuration.warnings] == ["BACKEND_SMTP_PORT"]
        assert "counts as not set" in configuration.warnings[0].message
    assert configure({"BACKEND_SMTP_PORT": "25"}, {"mail": Relay}).settings_of("mail", Relay).port == 25
    assert configure({"BACKEND_SMTP_PORT": "tcp:25"}, {"mail": Relay}).faults


def test_variables_of_disabled_plugins_are_known() -> None:
    """Switching a plugin off does not turn its settings into errors; a broken one's prefix is ignored."""
    environment = {"BACKEND_MAIL_MAX_ATTEMPTS": "3", "BACKEND_GEO_ANYTHING": "x"}
    assert configure(environment, {}, known={"mail": Mail}, ignored_prefixes=("BACKEND_GEO_",)).faults == ()


def test_two_plugins_with_one_variable_are_refused() -> None:
    """A variable has one owner."""
    found = faults(configure({}, {"mail": Mail, "letters": Relay}))
    assert "claimed by both plugin 'mail' and plugin 'letters'" in found["BACKEND_SMTP_HOST"]


def test_empty_variable_counts_as_not_set() -> None:
    """A compose file that passes an empty variable on leaves the default."""
    assert configure({"BACKEND_MAIL_MAX_ATTEMPTS": " "}).settings_of("mail", Mail).max_attempts == 8


def test_file_stands_behind_the_environment(tmp_path: Path) -> None:
    """The env file provides values, the environment overrides them, and each names its source."""
    path = tmp_path / "env"
    path.write_text("BACKEND_SMTP_HOST=file.example # here\nexport BACKEND_MAIL_MAX_ATTEMPTS=3\nPATH=/nowhere\n")
    configuration = configure(
        {"BACKEND_ENV_FILE": str(path), "BACKEND_SMTP_HOST": "env.example"}, {"mail": Mail, "kernel": KernelSettings}
    )
    rows = {row["variable"]: (row["value"], row["source"]) for row in configuration.table()}
    assert rows["BACKEND_SMTP_HOST"] == ("env.example", "environment")
    assert rows["BACKEND_MAIL_MAX_ATTEMPTS"] == ("3", str(path))
    assert rows["BACKEND_MAIL_WORKER_INTERVAL"] == ("2s", "default")


def test_unreadable_file_names_the_variable() -> None:
    """A missing env file is a fault of BACKEND_ENV_FILE."""
    with pytest.raises(ConfigurationError, match="BACKEND_ENV_FILE: expected a readable file at '/no/such'"):
        read_environment({"BACKEND_ENV_FILE": "/no/such"})


def test_secrets_are_never_printed() -> None:
    """Neither the table nor a fault shows a secret, right or wrong."""
    configuration = configure(
        {
            "BACKEND_SECRET_KEY": "shortish",
            "BACKEND_POSTGRES_DSN": "mysql://u:hunter2@h/d",
            "BACKEND_GATEWAY_TOKEN": "tok-en",
        },
        {"kernel": KernelSettings},
    )
    shown = repr(configuration.table()) + repr(configuration.faults) + repr(configuration.groups)
    assert set(faults(configuration)) == {"BACKEND_SECRET_KEY", "BACKEND_POSTGRES_DSN", "BACKEND_GATEWAY_TOKEN"}
    assert not any(secret in shown for secret in ("shortish", "hunter2", "tok-en"))


def test_a_command_names_what_it_cannot_do_without() -> None:
    """`serve` needs a secret key and a database; both are named at once."""
    with pytest.raises(ConfigurationError) as caught:
        configure({}, {"kernel": KernelSettings}).check("serve")
    assert {fault.variable for fault in caught.value.faults} == {"BACKEND_SECRET_KEY", "BACKEND_POSTGRES_DSN"}
    assert caught.value.status == 78


def test_commands_that_only_look_need_nothing() -> None:
    """Without any variable the defaults stand."""
    configuration = configure({}, {"kernel": KernelSettings})
    configuration.check("config")
    settings = configuration.settings_of("kernel", KernelSettings)
    assert settings.http_listen_addr == "127.0.0.1:8080"
    assert settings.shutdown_timeout == timedelta(seconds=25)


def test_networks_and_names_are_lists() -> None:
    """Several values stand in one variable, separated by commas."""
    settings = configure(
        {"BACKEND_TRUSTED_PROXIES": "10.0.0.0/8, 127.0.0.1,::1/128", "BACKEND_PLUGINS_DISABLED": "geo, push"},
        {"kernel": KernelSettings},
    ).settings_of("kernel", KernelSettings)
    assert settings.trusted_proxies == tuple(ip_network(each) for each in ("10.0.0.0/8", "127.0.0.1/32", "::1/128"))
    assert settings.plugins_disabled == ("geo", "push")


@pytest.mark.parametrize("text", ["8080", "host:", "host:port", "host:99999"])
def test_bad_listen_address_says_what_was_expected(text: str) -> None:
    """A listen address is HOST:PORT."""
    found = faults(configure({"BACKEND_HTTP_LISTEN_ADDR": text}, {"kernel": KernelSettings}))
    assert found["BACKEND_HTTP_LISTEN_ADDR"] == "expected HOST:PORT, for example 127.0.0.1:8080"


def test_settings_without_doc_are_none() -> None:
    """Every kernel setting has its doc string."""
    assert [variable.name for variable in describe("kernel", KernelSettings) if not variable.doc] == []
    assert list(describe("none", NoSettings)) == []
