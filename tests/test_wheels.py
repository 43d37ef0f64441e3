"""A deployment has the subsystems whose wheels are installed: here the kernel and mail."""

import asyncio
import json
import sys
from pathlib import Path

import aiohttp
import pytest
from wheels import ROOT, install, run, serving

FOLDERS = ("contracts", "migrations", "chassis", "kernel", "plugins/mail")


@pytest.mark.slow
async def test_kernel_and_mail_alone(tmp_path: Path, empty_database: str) -> None:
    """Two wheels and their dependencies boot with just those plugins."""
    python = await asyncio.to_thread(install, tmp_path, [ROOT / folder for folder in FOLDERS])
    listed = json.loads(await asyncio.to_thread(run, python.parent / "backend", "plugins", "--json"))
    assert [(row["name"], row["state"]) for row in listed] == [("mail", "enabled")]
    async with serving(python, empty_database) as line:
        assert line["plugins"] == ["mail"]
        async with aiohttp.ClientSession(f"http://{line['address']}") as client:
            async with client.get("/readyz") as response:
                checks = (await response.json())["checks"]
                assert response.status == 200
            async with client.get("/api/v1/admin/mail/deliveries") as response:
                assert (response.status, (await response.json())["code"]) == (403, "access_closed")
        assert {check["plugin"] for check in checks} == {"kernel", "mail"}


def test_the_chassis_alone_knows_no_database() -> None:
    """A process without a database, as the gateway is, loads neither SQLAlchemy nor a driver."""
    code = (
        "import galaxy_chassis, importlib, json, pkgutil, sys\n"
        "for module in pkgutil.walk_packages(galaxy_chassis.__path__, 'galaxy_chassis.'):\n"
        "    importlib.import_module(module.name)\n"
        "print(json.dumps(list(sys.modules)))"
    )
    loaded = {name.partition(".")[0] for name in json.loads(run(sys.executable, "-c", code))}
    assert {"galaxy_chassis", "aiohttp", "opentelemetry"} <= loaded
    assert not loaded & {"sqlalchemy", "aiopg", "psycopg2", "galaxy_kernel", "galaxy_contracts", "pluggy"}
