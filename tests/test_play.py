"""`make play`, as anybody runs it: a game from sign-in to its winner."""

import asyncio
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

PLAY = Path(__file__).parents[1] / "tools" / "play.py"


@pytest.mark.slow
async def test_a_whole_game_is_played() -> None:
    """Two scripted players play until one has won; every turn is told, in order."""
    command = [sys.executable, str(PLAY), "--planets", "4"]
    environment = {"PATH": os.environ["PATH"]}
    done = await asyncio.to_thread(
        subprocess.run, command, env=environment, capture_output=True, text=True, timeout=150, check=False
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    turns = [int(turn) for turn in re.findall(r"^Turn (\d+) of 60", done.stdout, re.MULTILINE)]
    over = re.search(r"The game is over after (\d+) turns\. Winner: (Ada|Bob)\.", done.stdout)
    assert over is not None
    assert turns == list(range(int(over[1]) + 1))
