"""The reference engine as an image."""

import asyncio
import os
from asyncio.subprocess import DEVNULL, PIPE

from bench.process import ROOT

_BASE = (str(ROOT / "tools/docker/base-images.sh"), "python:3.11-slim-bookworm")


async def build_game(image: str, host: str) -> str:
    """Build it by a daemon, without a registry where there is none; return why that is not possible, or ""."""
    build = ("docker", "build", "-q", "-t", image, str(ROOT / "game"))
    environment = os.environ | {"DOCKER_HOST": host, "DOCKER_BUILDKIT": "0"}
    for command in (_BASE, build):
        try:
            process = await asyncio.create_subprocess_exec(*command, env=environment, stdout=DEVNULL, stderr=PIPE)
        except FileNotFoundError:
            return f"{image} cannot be built: there is no command {command[0]}"
        _, said = await process.communicate()
        if process.returncode:
            last = said.decode(errors="replace").strip().splitlines()[-1:]
            return f"{image} cannot be built: {' '.join(last)}"
    return ""
