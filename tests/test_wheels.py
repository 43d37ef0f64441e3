"""A deployment has the subsystems whose wheels are installed: here the kernel and mail."""

import asyncio
import json
import os
import site
import subprocess
import sys
import venv
from pathlib import Path

import aiohttp
import pytest

from galaxy_devkit.testing.kernel import ENVIRONMENT

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("contracts", "migrations", "chassis", "kernel", "plugins/mail")


def run(*command: str | Path, **environment: str) -> str:
    done = subprocess.run(
        [str(part) for part in command],
        env={"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), **environment},
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def install(folder: Path) -> Path:
    """Build the wheels and unpack them into an environment that otherwise has only third-party packages."""
    wheels = folder / "wheels"
    build = (sys.executable, "-m", "uv", "build", "--quiet", "--wheel", "--offline")
    ours = ("--no-build-isolation", "--python", sys.executable)  # its hatchling: an isolated one would be downloaded
    for each in FOLDERS:
        run(*build, *ours, "--out-dir", wheels, ROOT / each)
    venv.create(folder / "venv", with_pip=False, symlinks=True)
    python = folder / "venv/bin/python"
    packages = Path(run(python, "-c", "import site; print(site.getsitepackages()[0])").strip())
    installed = [*wheels.glob("*.whl")]
    assert len(installed) == len(FOLDERS)
    run(sys.executable, "-m", "uv", "pip", "install", "--offline", "--no-deps", "--python", python, *installed)
    third_party = folder / "third-party"
    third_party.mkdir()
    for path in Path(site.getsitepackages()[0]).iterdir():
        if not path.name.lower().startswith(("galaxy", "__editable__", "_galaxy")) and path.suffix != ".pth":
            (third_party / path.name).symlink_to(path)
    (packages / "third-party.pth").write_text(f"{third_party}\n")
    return python


@pytest.mark.slow
async def test_kernel_and_mail_alone(tmp_path: Path, empty_database: str) -> None:
    """Two wheels and their dependencies boot with just those plugins."""
    python = await asyncio.to_thread(install, tmp_path)
    backend = python.parent / "backend"
    listed = json.loads(await asyncio.to_thread(run, backend, "plugins", "--json"))
    assert [(row["name"], row["state"]) for row in listed] == [("mail", "enabled")]
    process = await asyncio.create_subprocess_exec(
        str(backend), "serve", stdout=asyncio.subprocess.PIPE,
        env={"PATH": os.environ["PATH"], **ENVIRONMENT, "BACKEND_POSTGRES_DSN": empty_database},
    )  # fmt: skip
    assert process.stdout is not None
    async with asyncio.timeout(60):
        while (line := json.loads(await process.stdout.readline()))["event"] != "service_started":
            pass
    assert line["plugins"] == ["mail"]
    async with aiohttp.ClientSession(f"http://{line['address']}") as client:
        async with client.get("/readyz") as response:
            checks = (await response.json())["checks"]
            assert response.status == 200
        async with client.get("/api/v1/admin/mail/deliveries") as response:
            assert (response.status, (await response.json())["code"]) == (403, "access_closed")
    assert {check["plugin"] for check in checks} == {"kernel", "mail"}
    process.terminate()
    await process.communicate()
    assert process.returncode == 0


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
