"""A client of server-sent events."""

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from push_backend import until


@dataclass
class SseClient:
    """A client of server-sent events that keeps what it has read."""

    response: Any
    blocks: list[dict[str, str]] = field(default_factory=list)
    ended: bool = False
    _task: Any = None

    def listen(self) -> None:
        """Read in the background."""
        self._task = asyncio.create_task(self._listen())

    async def _listen(self) -> None:
        rest = ""
        try:
            async for data in self.response.content.iter_any():
                *blocks, rest = (rest + data.decode()).split("\n\n")
                for block in blocks:
                    self.blocks.append(dict(line.split(":", 1) for line in block.split("\n")))
        except aiohttp.ClientError:
            pass
        self.ended = True

    @property
    def events(self) -> list[dict[str, str]]:
        """What a browser would dispatch."""
        return [{name: value.strip() for name, value in block.items()} for block in self.blocks if "data" in block]

    @property
    def numbers(self) -> list[int]:
        """The `n` of each event that has one."""
        return [n for event in self.events if (n := json.loads(event["data"]).get("n")) is not None]

    @property
    def kinds(self) -> list[str]:
        """The kind of each event."""
        return [event["event"] for event in self.events]

    @property
    def last_id(self) -> str:
        """The id that a browser would send when it connects again."""
        return next((block["id"].strip() for block in reversed(self.blocks) if "id" in block), "")

    def close(self) -> None:
        """Leave."""
        self.response.close()
        if self._task is not None:
            self._task.cancel()

    until = staticmethod(until)

    async def heard(self, number: int) -> None:
        """Wait until it has so many events."""
        await until(lambda: len(self.events) >= number)
