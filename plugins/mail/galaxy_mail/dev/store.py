"""The mails that the sink keeps: a file each, and the list of them in memory."""

import asyncio
import contextlib
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from galaxy_mail.dev.messages import SUMMARY_LIMIT, Summary, envelope, summarise

KEEP = 500
"""How many mails are kept; the oldest make room."""
_DIGITS = 20
"""Format of an id: nanoseconds since 1970 in decimal, so that ids sort in the order of arrival."""


@dataclass(frozen=True, slots=True)
class Kept:
    """One mail in the list."""

    id: str
    summary: Summary

    @property
    def at(self) -> datetime:
        """When it arrived."""
        return datetime.fromtimestamp(int(self.id) / 1e9, UTC)


class MailStore:
    """Mails in a folder: `<id>.eml` is the mail with its envelope as the headers Return-Path and Delivered-To.

    `version` grows with every change; `changed` waits for it.
    """

    def __init__(self, folder: Path, *, keep: int = KEEP, now: Callable[[], int] = time.time_ns) -> None:
        """Describe a store, without touching the disk; `now` returns nanoseconds since 1970."""
        self._folder, self._keep, self.now = folder, keep, now
        self._mails: dict[str, Kept] = {}
        self._last = 0
        self._change = asyncio.Event()
        self.version = 0
        self.closed = False

    async def load(self) -> None:
        """Make the folder, and read what is in it."""
        self._mails = await asyncio.to_thread(self._load)
        self._last = max(map(int, self._mails), default=0)
        await self._trim()

    def mails(self) -> list[Kept]:
        """Return all mails, the newest first."""
        return sorted(self._mails.values(), key=lambda mail: mail.id, reverse=True)

    async def add(self, sender: str, recipients: list[str], content: bytes) -> Kept:
        """Store a mail. Raise OSError when it cannot be written."""
        self._last = max(self._last + 1, self.now())
        name = f"{self._last:0{_DIGITS}d}"
        whole = envelope(sender, recipients) + content
        await asyncio.to_thread(self._write, name, whole)
        mail = self._mails[name] = Kept(name, await asyncio.to_thread(summarise, whole))
        self._notify()
        await self._trim()
        return mail

    async def read(self, name: str) -> bytes | None:
        """Return a stored mail; None when there is none of this id."""
        if name not in self._mails:
            return None
        try:
            return await asyncio.to_thread(self._path(name).read_bytes)
        except FileNotFoundError:
            return None

    async def clear(self) -> None:
        """Delete every mail."""
        names = list(self._mails)
        self._mails.clear()
        self._notify()
        await asyncio.to_thread(self._remove, names)

    async def changed(self, seen: int, within: float) -> bool:
        """Wait until `version` is not `seen` or the store is closed; return False after `within` seconds."""
        try:
            async with asyncio.timeout(within):
                while self.version == seen and not self.closed:
                    await self._change.wait()
        except TimeoutError:
            return False
        return True

    def close(self) -> None:
        """Wake all waiters."""
        self.closed = True
        self._notify()

    def _notify(self) -> None:
        self.version += 1
        self._change.set()
        self._change = asyncio.Event()

    async def _trim(self) -> None:
        surplus = sorted(self._mails)[: -self._keep]
        for name in surplus:
            del self._mails[name]
        if surplus:
            await asyncio.to_thread(self._remove, surplus)

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.eml"

    def _load(self) -> dict[str, Kept]:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        names = sorted(path.stem for path in self._folder.glob("*.eml") if _is_id(path.stem))
        return {name: Kept(name, summarise(self._head(name))) for name in names}

    def _head(self, name: str) -> bytes:
        with self._path(name).open("rb") as file:
            return file.read(SUMMARY_LIMIT)

    def _write(self, name: str, content: bytes) -> None:
        half = self._folder / f"{name}.half"
        descriptor = os.open(half, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)  # codes are for their reader
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
            half.replace(self._path(name))
        except OSError:
            half.unlink(missing_ok=True)
            raise

    def _remove(self, names: list[str]) -> None:
        for name in names:
            with contextlib.suppress(OSError):  # deleted by hand
                self._path(name).unlink()


def _is_id(stem: str) -> bool:
    return len(stem) == _DIGITS and stem.isascii() and stem.isdigit()


def described(mail: Kept) -> Mapping[str, object]:
    """Return a mail's line in the list as JSON has it."""
    return {
        "id": mail.id,
        "from": mail.summary.sender,
        "to": mail.summary.recipients,
        "subject": mail.summary.subject,
        "at": mail.at.isoformat(),
        "code": mail.summary.code,
    }
