"""The environment of the rivals, made on first use and kept until `bench/rivals.txt` changes."""

import asyncio
import shutil
import sys
from asyncio.subprocess import PIPE, STDOUT
from pathlib import Path

from bench.process import ROOT

FOLDER = ROOT / ".galaxy" / "bench-rivals"
_PINNED = Path(__file__).parent / "rivals.txt"
_STAMP = FOLDER / "installed.txt"


class RivalsMissing(Exception):  # noqa: N818 - says what is the matter, as its kin in the standard library do
    """The rivals cannot be installed here; the message has the reason."""


async def rivals_python() -> Path:
    """Return the Python of the rivals' environment, installing them where needed. Raise RivalsMissing."""
    python, pinned = FOLDER / "bin" / "python", _PINNED.read_text(encoding="utf-8")
    if not (_STAMP.exists() and _STAMP.read_text(encoding="utf-8") == pinned and python.exists()):
        uv = shutil.which("uv", path=str(Path(sys.executable).parent)) or shutil.which("uv")
        if uv is None:
            raise RivalsMissing("rivals not installed: there is no uv; run make setup")
        await _run(uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(FOLDER))
        await _run(uv, "pip", "install", "--quiet", "--python", str(python), "-r", str(_PINNED))
        _STAMP.write_text(pinned, encoding="utf-8")
    return python


async def _run(*command: str) -> None:
    process = await asyncio.create_subprocess_exec(*command, stdout=PIPE, stderr=STDOUT)
    output, _ = await process.communicate()
    if process.returncode != 0:
        last = (output.decode(errors="replace").strip().splitlines() or ["no output"])[-1].strip()
        raise RivalsMissing(f"rivals not installed: {last}")
