"""The followed file: appearing, replaced, bad, gone, and how each is reported."""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import structlog
from structlog.testing import capture_logs

from galaxy_geo.watching import CountryFile

Write = Callable[..., Path]
HERE = "192.0.2.1"


def follow(path: Path | None) -> CountryFile:
    return CountryFile(path, log=structlog.get_logger())


def put(path: Path, content: bytes) -> None:
    """Write over a file in place, as `cp` does."""
    path.write_bytes(content)


def move(path: Path, target: Path | None) -> None:
    """Move a file to another place, or delete it."""
    if target is None:
        path.unlink()
    else:
        path.rename(target)


def told(file: CountryFile) -> str | None:
    return file.database.country_of(HERE) if file.database else None


@pytest.fixture
def content(path: Path) -> bytes:
    """Return the database's bytes."""
    return path.read_bytes()


async def test_a_replaced_file_is_taken_over(write: Write, path: Path) -> None:
    """A new database put in place of the old one is used after the next look, and the old one no more."""
    file = follow(path)
    await file.look()
    assert told(file) == "AT"
    write(path, {"192.0.2.0/24": "CH"})
    await file.look()
    assert told(file) == "CH"
    assert file.health().state == "ok"


async def test_an_unchanged_file_is_read_once(path: Path) -> None:
    """Looking again at the same file opens nothing."""
    file = follow(path)
    await file.look()
    first = file.database
    await file.look()
    assert file.database is first


async def test_without_a_file_it_waits(write: Write, path: Path) -> None:
    """A file that does not exist yet is reported, and read as soon as it appears."""
    move(path, None)
    file = follow(path)
    await file.look()
    assert file.health().state == "degraded"
    assert "BACKEND_GEOIP_DB_PATH names does not exist" in file.health().detail
    write(path)
    await file.look()
    assert (told(file), file.health().state, file.health().detail) == ("AT", "ok", "")


async def test_without_the_variable_it_says_so() -> None:
    """Without a file, the check names the variable to set."""
    file = follow(None)
    await file.look()
    assert file.health().state == "degraded"
    assert "without BACKEND_GEOIP_DB_PATH" in file.health().detail


@pytest.mark.parametrize("bad", [b"", b"<html>", "half", "corrupt"])
async def test_the_last_good_one_is_kept(write: Write, path: Path, content: bytes, bad: bytes | str) -> None:
    """A bad file in place of a good one is degraded and changes no answer; the next good one is used."""
    file = follow(path)
    await file.look()
    whole = {"half": content[: len(content) // 2], "corrupt": content[:80] + b"\xff" * 400 + content[480:]}
    put(path, whole[bad] if isinstance(bad, str) else bad)
    await file.look()
    assert told(file) == "AT"
    assert file.health().state == "degraded"
    assert "the one read before is still used" in file.health().detail
    write(path, {"192.0.2.0/24": "CH"})
    await file.look()
    assert (told(file), file.health().state) == ("CH", "ok")


async def test_a_file_that_goes_and_comes_back(path: Path) -> None:
    """While the file is away the one read before is used; the same file in its place again is `ok`."""
    file = follow(path)
    await file.look()
    aside = path.with_name("aside")
    move(path, aside)
    await file.look()
    assert (told(file), file.health().state) == ("AT", "degraded")
    move(aside, path)
    await file.look()
    assert (told(file), file.health().state) == ("AT", "ok")


async def test_a_bad_file_is_logged_once(path: Path) -> None:
    """Looking at the same bad file for hours is one line in the log."""
    put(path, b"rubbish")
    file = follow(path)
    with capture_logs() as lines:
        for _ in range(3):
            await file.look()
    assert [line["event"] for line in lines] == ["country_database_refused"]


async def test_a_file_replaced_while_it_is_read_is_read_again(
    write: Write, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was put in place during a look is found by the next one, even if the look ended badly."""
    file = follow(path)
    put(path, b"rubbish")
    before = "galaxy_geo.watching.open_database"

    def opening(path: Path) -> Any:
        from galaxy_geo.databases import open_database

        try:
            return open_database(path)
        finally:
            monkeypatch.undo()
            write(path)

    monkeypatch.setattr(before, opening)
    await file.look()
    assert file.database is None
    await file.look()
    assert told(file) == "AT"


async def test_a_file_overwritten_in_place_while_it_is_used(path: Path, content: bytes) -> None:
    """Truncating and rewriting the file under running look-ups kills nothing and makes no answer wrong."""
    file = follow(path)
    await file.look()
    done = asyncio.Event()

    async def overwrite() -> None:
        for step in range(40):
            os.truncate(path, 0 if step % 2 else len(content) // 3)
            await asyncio.sleep(0)
            put(path, content)
            await asyncio.sleep(0)
        done.set()

    async def use() -> int:
        answers = 0
        while not done.is_set():
            assert told(file) == "AT"
            answers += 1
            await asyncio.sleep(0)
        return answers

    async def look() -> None:
        while not done.is_set():
            await file.look()

    _, answers, _ = await asyncio.gather(overwrite(), use(), look())
    assert answers >= 40
    await file.look()
    assert (told(file), file.health().state) == ("AT", "ok")


async def test_a_file_that_may_not_be_read(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that the process may not open is reported with the system's reason."""

    def refuse(path: Path) -> Any:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("galaxy_geo.watching.open_database", refuse)  # as root nothing is refused
    file = follow(path)
    await file.look()
    assert "cannot be read (Permission denied)" in file.health().detail
