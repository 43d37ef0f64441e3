"""Processes that tests start."""

import asyncio
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any


@asynccontextmanager
async def process_of(*command: str, **options: Any) -> AsyncIterator[Process]:
    """Run a command; at the end of the block it is killed, if it has not ended.

    `options`: those of `asyncio.create_subprocess_exec`.
    """
    process = await asyncio.create_subprocess_exec(*command, **options)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()
