"""The command line `gateway`, as an operator runs it."""

import asyncio
import json
import os
import signal
import sys
from pathlib import Path

import pytest
from gateway_doubles import QUIET, TOKEN, scripted_backend

GATEWAY = (sys.executable, "-m", "galaxy_gateway")


async def run(*arguments: str, **settings: str) -> tuple[int, str, str]:
    """Run a command with these settings, and return its status and what it wrote."""
    environment = {"PATH": os.environ["PATH"], **{f"GATEWAY_{name.upper()}": value for name, value in settings.items()}}
    process = await asyncio.create_subprocess_exec(
        *GATEWAY, *arguments, env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


async def test_every_fault_of_the_settings_is_named_at_once() -> None:
    """With the variable and what was expected, and never with a secret; the status is sysexits' EX_CONFIG."""
    status, _, err = await run(
        "serve",
        token="short",
        backend_url="ftp://x",
        cors_origins="*",
        redis_url="http://:hush@redis",
        lissten_addr=":1",
    )
    assert status == 78
    for name in ("GATEWAY_TOKEN", "GATEWAY_BACKEND_URL", "GATEWAY_CORS_ORIGINS", "GATEWAY_REDIS_URL"):
        assert f"  {name}: expected " in err
    assert "did you mean GATEWAY_LISTEN_ADDR?" in err
    assert "short" not in err
    assert "hush" not in err


async def test_config_shows_everything_but_secrets() -> None:
    """As a table for people, as JSON for scripts."""
    status, out, _ = await run("config", "--json", token=TOKEN, max_body="2048")
    rows = {row["variable"]: row for row in json.loads(out)}
    assert status == 0
    assert (rows["GATEWAY_MAX_BODY"]["value"], rows["GATEWAY_MAX_BODY"]["source"]) == ("2048", "environment")
    assert rows["GATEWAY_TOKEN"]["value"] == "***"
    assert TOKEN not in out


async def test_doctor_names_what_is_wrong_and_what_to_do(tmp_path: Path) -> None:
    """Each of the things that a gateway depends on."""
    (tmp_path / "no.pem").write_text("not a certificate")
    status, out, _ = await run(
        "doctor",
        "--json",
        token=TOKEN,
        backend_url="http://127.0.0.1:1",
        push_addr="127.0.0.1:1",
        redis_url="redis://127.0.0.1:1",
        trusted_proxies="0.0.0.0/0",
        cookie_origins="http://play.example.test",
        tls_certificate=str(tmp_path / "no.pem"),
    )
    found = {finding["check"].partition(" ")[0]: finding for finding in json.loads(out)}
    assert status == 1
    assert {name for name, finding in found.items() if finding["state"] == "failed"} == {
        *("backend", "live", "store", "certificate")
    }
    assert found["configuration"]["state"] == found["origins"]["state"] == "warning"
    for name, word in (
        ("backend", "GATEWAY_BACKEND_URL"),
        ("live", "GATEWAY_PUSH_ADDR"),
        ("store", "GATEWAY_REDIS_URL"),
        ("certificate", "GATEWAY_TLS_CERTIFICATE"),
    ):
        assert word in found[name]["detail"]


async def test_doctor_knows_a_gateway_whose_token_is_another() -> None:
    """The backend answers, and refuses it."""
    async with scripted_backend() as backend:
        _, out, _ = await run("doctor", "--json", token=f"another {TOKEN}", backend_url=backend.url)
    found = {finding["check"].partition(" ")[0]: finding for finding in json.loads(out)}
    assert "must be the same" in found["backend"]["detail"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_serve_ends_at_a_signal(number: signal.Signals) -> None:
    """With status 0 and without a traceback."""
    environment = {**QUIET, "PATH": os.environ["PATH"], "GATEWAY_TOKEN": TOKEN, "GATEWAY_LISTEN_ADDR": "127.0.0.1:0"}
    process = await asyncio.create_subprocess_exec(
        *GATEWAY, "serve", env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        while b"service_started" not in (line := await process.stdout.readline()):
            assert line, "it has ended"
        process.send_signal(number)
        out, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()
    assert process.returncode == 0
    assert b"Traceback" not in out + err
