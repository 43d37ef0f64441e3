"""Environments into which wheels of ours are installed, and backends that run in them."""

import asyncio
import json
import os
import site
import subprocess
import sys
import venv
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from galaxy_devkit.testing.kernel import ENVIRONMENT

ROOT = Path(__file__).resolve().parents[1]


def run(*command: str | Path, cwd: Path | None = None, **environment: str) -> str:
    """Run a command, in an environment with little in it, and return what it prints; fail with what it says."""
    done = subprocess.run(
        [str(part) for part in command],
        env={"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), **environment},
        cwd=cwd, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def install(folder: Path, projects: Iterable[Path]) -> Path:
    """Build the wheels and unpack them into an environment that otherwise has only third-party packages.

    Return its Python.
    """
    wheels, projects = folder / "wheels", list(projects)
    build = (sys.executable, "-m", "uv", "build", "--quiet", "--wheel", "--offline")
    ours = ("--no-build-isolation", "--python", sys.executable)  # its hatchling: an isolated one would be downloaded
    for each in projects:
        run(*build, *ours, "--out-dir", wheels, each)
    venv.create(folder / "venv", with_pip=False, symlinks=True)
    python = folder / "venv/bin/python"
    packages = Path(run(python, "-c", "import site; print(site.getsitepackages()[0])").strip())
    installed = [*wheels.glob("*.whl")]
    assert len(installed) == len(projects)
    run(sys.executable, "-m", "uv", "pip", "install", "--offline", "--no-deps", "--python", python, *installed)
    third_party = folder / "third-party"
    third_party.mkdir()
    for path in Path(site.getsitepackages()[0]).iterdir():
        if not path.name.lower().startswith(("galaxy", "__editable__", "_galaxy")) and path.suffix != ".pth":
            (third_party / path.name).symlink_to(path)
    (packages / "third-party.pth").write_text(f"{third_party}\n")
    return python


@asynccontextmanager
async def serving(python: Path, dsn: str) -> AsyncIterator[dict[str, Any]]:
    """Run `backend serve` of an environment, and stop it; the value is the line with which it says that it serves."""
    process = await asyncio.create_subprocess_exec(
        str(python.parent / "backend"), "serve", stdout=asyncio.subprocess.PIPE,
        env={"PATH": os.environ["PATH"], **ENVIRONMENT, "BACKEND_POSTGRES_DSN": dsn},
    )  # fmt: skip
    try:
        assert process.stdout is not None
        async with asyncio.timeout(60):
            while (line := json.loads(await process.stdout.readline()))["event"] != "service_started":
                pass
        yield line
        process.terminate()
        await process.communicate()
        assert process.returncode == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()
