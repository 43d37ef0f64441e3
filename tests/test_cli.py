"""The command line, run as a person or a script runs it."""

import contextlib
import io
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from full_backend import ALL
from openapi_spec_validator import validate

from galaxy_devkit.testing.kernel import SECRET_KEY
from galaxy_kernel.cli import main


@dataclass(frozen=True)
class Done:
    """The result of a command."""

    returncode: int
    stdout: str
    stderr: str


def backend(*arguments: str, **environment: str) -> Done:
    """Run `backend` in this process with nothing set but `environment`."""
    out, err = io.StringIO(), io.StringIO()
    with (
        mock.patch.dict(os.environ, {"PATH": os.environ["PATH"], **environment}, clear=True),
        mock.patch.object(sys, "argv", ["backend", *arguments]),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        pytest.raises(SystemExit) as ended,
    ):
        main()
    return Done(int(ended.value.code or 0), out.getvalue(), err.getvalue())


def answer(*arguments: str, **environment: str) -> Any:
    """Run a command that must succeed and read its JSON."""
    done = backend(*arguments, **environment)
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads(done.stdout)


def test_config_lists_every_variable_with_its_fields() -> None:
    """`config --json` is a list scripts can rely on; without a database, without any setting."""
    rows = {row["variable"]: row for row in answer("config", "--json")}
    assert set(rows["BACKEND_HTTP_LISTEN_ADDR"]) == {
        *("variable", "plugin", "type", "default", "value", "source", "secret", "doc"),
    }
    assert rows["BACKEND_HTTP_LISTEN_ADDR"]["value"] == "127.0.0.1:8080"
    assert rows["BACKEND_SMTP_TLS_MODE"]["plugin"] == "mail"


def test_config_shows_no_secret() -> None:
    """A secret is only shown as set."""
    done = backend("config", "--json", BACKEND_SECRET_KEY=SECRET_KEY, BACKEND_POSTGRES_DSN="postgres://u:hunter2@h/d")
    rows = {row["variable"]: row for row in json.loads(done.stdout)}
    assert rows["BACKEND_SECRET_KEY"]["value"] == "***"
    assert "hunter2" not in done.stdout
    assert SECRET_KEY not in done.stdout


def test_faulty_configuration_exits_78_and_still_shows_the_rest() -> None:
    """Faults go to stderr, the table to stdout."""
    done = backend("config", "--json", BACKEND_SMTP_PORT="abc", BACKEND_MAIL_WORKR_INTERVAL="2s")
    assert done.returncode == 78
    assert json.loads(done.stdout)
    assert "BACKEND_SMTP_PORT: expected" in done.stderr
    assert "BACKEND_MAIL_WORKR_INTERVAL: unknown variable: did you mean BACKEND_MAIL_WORKER_INTERVAL?" in done.stderr


def test_plugins_in_order_with_what_they_provide_and_require() -> None:
    """`plugins --json` has identity and order."""
    rows = {row["name"]: row for row in answer("plugins", "--json")}
    assert list(rows).index("mail") < list(rows).index("notification")
    assert list(rows).index("user") < list(rows).index("auth")
    assert "mail.outbox" in rows["auth"]["requires"]
    assert rows["mail"]["provides"] == ["mail.outbox"]


def test_disabled_plugins_are_listed_as_such() -> None:
    """Disabled plugins are still listed."""
    rows = {row["name"]: row["state"] for row in answer("plugins", "--json", BACKEND_PLUGINS_DISABLED="auth")}
    assert (rows["auth"], rows["mail"]) == ("disabled", "enabled")


def test_refused_set_of_plugins_is_one_sentence_and_78() -> None:
    """Disabling a required plugin is refused with the remedy."""
    done = backend("serve", BACKEND_PLUGINS_DISABLED="mail")
    assert done.returncode == 78
    assert done.stderr.count("\n") == 1
    assert "'adminchannel' requires 'mail.outbox', which the disabled plugin 'mail' provides" in done.stderr


def test_misspelt_plugin_to_disable_is_refused() -> None:
    """An unknown name in BACKEND_PLUGINS_DISABLED is refused."""
    done = backend("config", BACKEND_PLUGINS_DISABLED="mial")
    assert done.returncode == 78
    assert "BACKEND_PLUGINS_DISABLED: names 'mial', which is not installed: did you mean 'mail'?" in done.stderr


def test_routes_declare_their_access() -> None:
    """`routes --json` lists each route's access."""
    rows = answer("routes", "--json")
    assert {"method", "path", "access", "plugin", "name", "summary"} == set(rows[0])
    assert all(f"/api/v1/{row['access']}/" in row["path"] for row in rows)


def test_openapi_is_valid() -> None:
    """The description is OpenAPI 3.1."""
    document = answer("openapi")
    assert document["openapi"].startswith("3.1")
    validate(document)


def test_a_process_exits_with_the_status() -> None:
    """A real process behaves as in these tests."""
    environment = {"PATH": os.environ["PATH"], "BACKEND_PLUGINS_DISABLED": "mail"}
    command = [sys.executable, "-m", "galaxy_kernel", "serve"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (78, "")
    assert done.stderr.startswith("backend: plugin 'adminchannel' requires 'mail.outbox'")


@pytest.mark.parametrize("program", ["backend", "gateway", "galaxy-engine"])
def test_programs_show_their_version(program: str) -> None:
    """In one line, as installed, and nothing else is done."""
    done = subprocess.run(
        [str(Path(sys.executable).with_name(program)), "--version"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert (done.stdout, done.stderr) == (f"{program} {version('galaxy-backend-kernel')}\n", "")


def test_wrong_usage_is_2() -> None:
    """An unknown command is a usage error."""
    assert backend("nosuch").returncode == 2
    assert backend("migrate", "--nosuch").returncode == 2


def test_completion_is_offered() -> None:
    """A shell gets its completions, those of plugins included."""
    done = backend(_BACKEND_COMPLETE="complete_bash", COMP_WORDS="backend ad", COMP_CWORD="1")
    assert done.stdout.split() == ["admin"]


def test_doctor_without_settings_says_what_to_set() -> None:
    """It fails with the variables that are missing, and no traceback."""
    done = backend("doctor", "--json")
    found = json.loads(done.stdout)
    assert done.returncode == 1
    assert any("BACKEND_POSTGRES_DSN: required" in row["detail"] for row in found if row["state"] == "failed")
    assert done.stderr == ""


def test_migrate_sql_needs_no_database() -> None:
    """The script for an empty schema can be printed anywhere."""
    done = backend("migrate", "--sql")
    assert done.returncode == 0
    assert "CREATE TABLE mail_deliveries" in done.stdout or 'CREATE TABLE "mail_deliveries"' in done.stdout


def test_migrate_check_then_migrate(empty_database: str) -> None:
    """A check changes nothing and fails while a revision is due; after migrating all is current."""
    environment = {"BACKEND_POSTGRES_DSN": empty_database}
    before = backend("migrate", "--check", "--json", **environment)
    assert before.returncode == 1
    assert {row["state"] for row in json.loads(before.stdout)} == {"missing"}
    assert backend("migrate", **environment).returncode == 0
    after = answer("migrate", "--check", "--json", **environment)
    assert {row["state"] for row in after} == {"current"}
    assert {row["plugin"] for row in after} == {"kernel", *(plugin.manifest.name for plugin in ALL)}


def test_orphans_are_listed_and_purged(empty_database: str) -> None:
    """Tables of a disabled plugin are kept until purged, and an enabled one is not purged."""
    environment = {"BACKEND_POSTGRES_DSN": empty_database}
    assert backend("migrate", **environment).returncode == 0
    refused = backend("purge", "admin", "--yes", **environment)
    assert refused.returncode == 1
    assert "is in use" in refused.stderr
    off = {**environment, "BACKEND_PLUGINS_DISABLED": "admin"}
    rows = {row["plugin"]: row["state"] for row in answer("migrate", "--check", "--json", **off)}
    assert rows["admin"] == "disabled"
    dropped = answer("purge", "admin", "--yes", "--json", **off)
    own = {"admin_accounts", "admin_audit_log", "admin_known_networks", "admin_sign_in_attempts"}
    assert set(dropped) == {*own, "alembic_version_admin"}


def test_reset_password_of_nobody_is_said(empty_database: str) -> None:
    """A name that no admin has is refused in one line."""
    environment = {"BACKEND_POSTGRES_DSN": empty_database}
    assert backend("migrate", **environment).returncode == 0
    done = backend("admin", "reset-password", "nobody", **environment)
    assert done.returncode == 1
    assert "'nobody'" in done.stderr
    assert "Traceback" not in done.stderr


def test_unreachable_postgres_is_one_sentence() -> None:
    """An unreachable database is one line, not a traceback."""
    done = backend("migrate", BACKEND_POSTGRES_DSN="postgres://u:hunter2@127.0.0.1:1/none")
    assert done.returncode == 1
    assert "Postgres: nothing listens there: does Postgres run" in done.stderr
    assert "hunter2" not in done.stderr
    assert "Traceback" not in done.stderr


def test_unreadable_env_file_is_78() -> None:
    """A missing file is a fault of its variable."""
    done = backend("plugins", BACKEND_ENV_FILE="/no/such/file")
    assert done.returncode == 78
    assert "BACKEND_ENV_FILE" in done.stderr
