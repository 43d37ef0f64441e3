"""What becomes of processes that tests start."""

import sys
from asyncio.subprocess import PIPE

import pytest

from galaxy_devkit.testing.processes import process_of


async def test_what_fails_leaves_no_process() -> None:
    """It is killed where the block raises, with whatever it has written, and left alone where it has ended."""
    with pytest.raises(ValueError, match="in the block"):
        writes = "print('x' * 100_000, flush=True); input()"
        async with process_of(sys.executable, "-c", writes, stdin=PIPE, stdout=PIPE) as one:
            raise ValueError("in the block")
    assert one.returncode == -9
    async with process_of(sys.executable, "-c", "raise SystemExit(3)") as other:
        await other.wait()
    assert other.returncode == 3
