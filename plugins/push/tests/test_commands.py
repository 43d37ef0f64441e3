"""`backend push listen`, against a booted backend."""

import json
import os
import sys
from asyncio.subprocess import PIPE, Process
from contextlib import AbstractAsyncContextManager
from typing import Any
from uuid import uuid4

from galaxy_devkit.testing import GATEWAY_TOKEN
from galaxy_devkit.testing.processes import process_of


def listening(*arguments: str, token: str = GATEWAY_TOKEN) -> AbstractAsyncContextManager[Process]:
    """Run the command for the block."""
    return process_of(
        *(sys.executable, "-m", "galaxy_kernel", "push", "listen", *arguments),
        env={"PATH": os.environ["PATH"], "BACKEND_GATEWAY_TOKEN": token},
        stdout=PIPE,
        stderr=PIPE,
    )


async def test_events_are_lines_of_json(backend: Any) -> None:
    """It prints each event once it comes, and ends after as many as were asked for."""
    async with listening("--address", backend.address, "--count", "2") as process:
        assert process.stderr is not None
        assert (await process.stderr.readline()).startswith(b"listening after cursor ")
        account = uuid4()
        await backend.publish(1, 2, account_id=account)
        output, _ = await process.communicate()
    lines = [json.loads(line) for line in output.splitlines()]
    assert [(line["kind"], line["payload"], line["account_id"]) for line in lines] == [
        ("test.happened", {"n": n}, str(account)) for n in (1, 2)
    ]
    assert process.returncode == 0


async def test_a_wrong_token_is_said(backend: Any) -> None:
    """It ends with status 1 and the backend's own reason."""
    async with listening("--address", backend.address, token="wrong") as process:
        _, errors = await process.communicate()
    assert process.returncode == 1
    assert errors.startswith(f"backend push listen: {backend.address}: UNAUTHENTICATED: ".encode())
