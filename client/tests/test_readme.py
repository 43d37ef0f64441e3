"""The example of the README, as it stands there."""

import asyncio
import re
import sys
from asyncio.subprocess import PIPE
from pathlib import Path

from scripted_server import GAME_ID, Server, account, answer, game

README = Path(__file__).parents[1] / "README.md"


async def test_the_example() -> None:
    """It signs in, lists the games and prints the report of one whose turn it is."""
    found = re.search(r"```python\n(.*?)```", README.read_text("utf-8"), re.DOTALL)
    assert found is not None
    script = [
        answer(202, {"challenge_id": GAME_ID, "expires_at": "2026-01-01T00:00:00Z"}),
        answer(201, {"session_token": "t", "session_id": GAME_ID, "account": account()}),
        answer(200, {"items": [game(my_turn=True)], "page": 1, "page_size": 50, "total": 1}),
        answer(200, game()),
        answer(200, {"text": "All is well."}),
    ]
    async with Server(script) as server:
        program = found[1].replace("http://127.0.0.1:8090", server.address)
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", program), stdin=PIPE, stdout=PIPE, stderr=PIPE
        )
        out, err = await process.communicate(b"ada@example.test\n12345678\n")
    assert (process.returncode, err) == (0, b"")
    assert out.decode().endswith("Andromeda running 3 your turn\nAll is well.\n")
