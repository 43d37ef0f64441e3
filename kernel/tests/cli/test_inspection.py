"""Commands that only look: they need neither a database nor settings without a fault."""

from collections.abc import Callable
from typing import Any

import pytest

from galaxy_kernel.cli.inspection import config, plugins, print_openapi, routes

Backend = Callable[..., Any]
SECRET = "a secret key for tests, of more than 32 bytes"


def test_config_shows_every_variable_and_where_its_value_is_from(backend: Backend) -> None:
    """Those of plugins under their plugin; secrets only as being set."""
    done = backend(config, "--json", BACKEND_LAMP_WATTS="60", BACKEND_SECRET_KEY=SECRET)
    assert (done.status, done.stderr) == (0, "")
    rows = {row["variable"]: row for row in done.json}
    assert (rows["BACKEND_LAMP_WATTS"]["value"], rows["BACKEND_LAMP_WATTS"]["plugin"]) == ("60", "lamp")
    assert rows["BACKEND_LAMP_WATTS"]["default"] == "40"
    assert rows["BACKEND_LAMP_WATTS"]["source"] != rows["BACKEND_LOG_LEVEL"]["source"]
    assert SECRET not in done.stdout


def test_config_shows_the_rest_beside_a_fault(backend: Backend) -> None:
    """The table comes first, the faults go to stderr, and the status is 78."""
    done = backend(config, BACKEND_LAMP_WATTS="many")
    assert done.status == 78
    assert "BACKEND_LAMP_WATTS" in done.stderr
    assert "BACKEND_LOG_LEVEL" in done.stdout


def test_config_asks_what_a_command_needs(backend: Backend) -> None:
    """Before a deployment, `--for serve` says what is missing."""
    assert backend(config).status == 0
    done = backend(config, "--for", "serve")
    assert done.status == 78
    assert all(name in done.stderr for name in ("BACKEND_SECRET_KEY", "BACKEND_POSTGRES_DSN"))


def test_config_warns_where_unknown_variables_are_no_fault(backend: Backend) -> None:
    """Warnings go to stderr and leave the status alone."""
    done = backend(config, "--json", BACKEND_LAMP_WATS="60", BACKEND_CONFIG_STRICT="false")
    assert done.status == 0
    assert "warning" in done.stderr
    assert "BACKEND_LAMP_WATS" in done.stderr
    assert done.json


def test_plugins_in_order_of_start_then_those_that_are_off(backend: Backend) -> None:
    """With what they provide and require, and their distribution."""
    rows = backend(plugins, "--json").json
    assert [(row["name"], row["state"]) for row in rows] == [("lamp", "enabled"), ("bench", "enabled")]
    assert (rows[0]["provides"], rows[1]["requires"], rows[1]["uses"]) == (["lamp.light"], ["lamp.light"], [])
    assert (rows[0]["distribution"], rows[0]["version"], rows[0]["summary"]) == ("galaxy-lamp", "1.0", "Burns.")
    rows = backend(plugins, "--json", BACKEND_PLUGINS_DISABLED="bench").json
    assert [(row["name"], row["state"]) for row in rows] == [("lamp", "enabled"), ("bench", "disabled")]
    assert "lamp.light" in backend(plugins).stdout


def test_routes_with_who_may_call_them(backend: Backend) -> None:
    """One row an operation, by path, the kernel's own among them."""
    health, row = backend(routes, "--json").json
    assert row == {
        "method": "GET",
        "path": "/api/v1/public/lamp",
        "access": "public",
        "plugin": "lamp",
        "name": "lamp.burn",
        "summary": "Burn.",
    }
    assert (health["path"], health["access"], health["plugin"]) == ("/api/v1/admin/health", "admin", "kernel")
    assert "/api/v1/public/lamp" in backend(routes).stdout


def test_openapi_describes_the_routes(backend: Backend) -> None:
    """One JSON document, with faulty settings too."""
    document = backend(print_openapi, BACKEND_LAMP_WATTS="many").json
    assert document["openapi"].startswith("3.1")
    assert document["paths"]["/api/v1/public/lamp"]["get"]["operationId"] == "lamp.burn"


@pytest.mark.parametrize("command", [config, plugins, routes, print_openapi])
def test_a_set_that_cannot_stand_is_refused(backend: Backend, command: Callable[..., None]) -> None:
    """One sentence with the remedy, and 78."""
    done = backend(command, BACKEND_PLUGINS_DISABLED="lamp")
    assert (done.status, done.stdout) == (78, "")
    assert "'bench' requires 'lamp.light'" in done.stderr
