"""The mails of a stack, whichever image receives them: Mailpit's where it can be pulled, else our own sink."""

import asyncio
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import aiohttp

PATIENCE = 60.0
"""Seconds that a mail may take."""
_CODE = re.compile(r"\b(\d{4}) ?(\d{4})\b")


@dataclass(frozen=True)
class Mail:
    """A mail as its recipient reads it."""

    subject: str
    text: str


class Sink(ABC):
    """What scenarios ask of a sink. Mails to others than `@example.test` are refused with 550."""

    environment: Mapping[str, str] = {}
    command = ""

    def __init__(self) -> None:
        self.url = ""

    @abstractmethod
    async def mails(self, to: str) -> list[Mail]:
        """Return the mails to an address, the newest first."""

    async def mail(self, to: str, subject: str = "") -> Mail:
        """Wait for a mail whose subject has these words; return the newest."""
        async with asyncio.timeout(PATIENCE):
            while True:
                for mail in await self._found(to):
                    if subject in mail.subject:
                        return mail
                await asyncio.sleep(0.1)

    async def code(self, to: str) -> str:
        """Wait for a mail with a sign-in code, and return the newest code."""
        async with asyncio.timeout(PATIENCE):
            while True:
                for mail in await self._found(to):
                    if found := _CODE.search(mail.text):
                        return "".join(found.groups())
                await asyncio.sleep(0.1)

    async def _found(self, to: str) -> list[Mail]:
        with suppress(aiohttp.ClientError):  # it may have been started just now
            return await self.mails(to)
        return []

    async def _get(self, path: str, **query: str) -> Any:
        async with aiohttp.ClientSession(self.url) as client, client.get(path, params=query) as answer:
            answer.raise_for_status()
            return await answer.json()


class OwnSink(Sink):
    """`python -m galaxy_mail.dev`."""

    command = "--host 0.0.0.0 --recipients .*@example\\.test"

    async def mails(self, to: str) -> list[Mail]:
        """Return the mails to an address, the newest first."""
        shown = [await self._get(f"/api/mails/{each['id']}") for each in await self._get("/api/mails", to=to)]
        return [Mail(each["subject"], each["text"]) for each in shown]


class Mailpit(Sink):
    """Mailpit, by its API v1: https://mailpit.axllent.org/docs/api-v1/."""

    environment: Mapping[str, str] = {"MP_SMTP_ALLOWED_RECIPIENTS": r"@example\.test$"}

    async def mails(self, to: str) -> list[Mail]:
        """Return the mails to an address, the newest first."""
        found = await self._get("/api/v1/search", query=f'to:"{to}"')
        shown = [await self._get(f"/api/v1/message/{each['ID']}") for each in found["messages"]]
        return [Mail(each["Subject"], each["Text"]) for each in shown]
