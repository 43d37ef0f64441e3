"""The reference engine as an image."""

import asyncio
import os
from asyncio.subprocess import DEVNULL, PIPE

from bench.process import ROOT

_BASE = (str(ROOT / "tools/docker/base-images.sh"), "python:3.11-slim-bookworm")


async def build_game(image: str, host: str) -> str:
    """Build it by a daemon, without a registry where there is none; return why that is not possible, or ""."""
    return await _all_of(image, host, _BASE, ("docker", "build", "-q", "-t", image, str(ROOT / "game")))


async def push(image: str, target: str, host: str) -> str:
    """Put a daemon's image into the registry that `target` names; return why that is not possible, or ""."""
    return await _all_of(target, host, ("docker", "tag", image, target), ("docker", "push", "-q", target))


async def _all_of(image: str, host: str, *commands: tuple[str, ...]) -> str:
    environment = os.environ | {"DOCKER_HOST": host, "DOCKER_BUILDKIT": "0"}
    for command in commands:
        try:
            process = await asyncio.create_subprocess_exec(*command, env=environment, stdout=DEVNULL, stderr=PIPE)
        except FileNotFoundError:
            return f"{image} cannot be had: there is no command {command[0]}"
        _, said = await process.communicate()
        if process.returncode:
            last = said.decode(errors="replace").strip().splitlines()[-1:]
            return f"{image} cannot be had: {' '.join(last)}"
    return ""
