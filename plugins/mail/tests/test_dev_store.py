import stat
from pathlib import Path

from galaxy_mail.dev.store import MailStore, described


def subject(number: int) -> bytes:
    return b"Subject: %d\r\n\r\nhello\r\n" % number


async def filled(folder: Path, count: int, keep: int = 500) -> MailStore:
    store = MailStore(folder, keep=keep, now=lambda: 1_800_000_000_000_000_000)
    await store.load()
    for number in range(count):
        await store.add("s@example.test", ["you@example.test"], subject(number))
    return store


def names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def subjects(store: MailStore) -> list[str]:
    return [mail.summary.subject for mail in store.mails()]


async def test_newest_first(tmp_path: Path) -> None:
    """Mails are listed in order of arrival, the last one first, even when the clock stands still."""
    store = await filled(tmp_path, 3)
    assert subjects(store) == ["2", "1", "0"]
    assert described(store.mails()[0])["at"] == "2027-01-15T08:00:00+00:00"


async def test_second_start_has_them_all(tmp_path: Path) -> None:
    """A store on the same folder lists the same mails and assigns newer ids to newer ones."""
    first = await filled(tmp_path / "mail", 2)
    second = await filled(tmp_path / "mail", 1)
    assert subjects(second) == ["0", "1", "0"]
    assert second.mails()[1:] == first.mails()


async def test_oldest_make_room(tmp_path: Path) -> None:
    """Only the newest are kept, on the disk too."""
    store = await filled(tmp_path, 5, keep=2)
    assert subjects(store) == ["4", "3"]
    assert len(names(tmp_path)) == 2


async def test_kept_as_it_came_for_its_owner_alone(tmp_path: Path) -> None:
    """A mail's file has the envelope and the received bytes, readable by its owner only."""
    store = await filled(tmp_path / "mail", 1)
    (file,) = (tmp_path / "mail").glob("*.eml")
    assert file.read_bytes() == b"Return-Path: <s@example.test>\r\nDelivered-To: you@example.test\r\n" + subject(0)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert await store.read(store.mails()[0].id) == file.read_bytes()


async def test_clear(tmp_path: Path) -> None:
    """Nothing is left after a clear, and waiters are woken."""
    store = await filled(tmp_path, 2)
    seen, name = store.version, store.mails()[0].id
    await store.clear()
    assert not store.mails()
    assert not names(tmp_path)
    assert await store.read(name) is None
    assert await store.changed(seen, within=5)


async def test_changed_is_false_when_nothing_does(tmp_path: Path) -> None:
    """A wait without a change ends."""
    store = await filled(tmp_path, 1)
    assert not await store.changed(store.version, within=0.01)


async def test_foreign_files_are_left_alone(tmp_path: Path) -> None:
    """Foreign files in the folder are neither read nor deleted."""
    (tmp_path / "notes.eml").write_text("mine")
    store = await filled(tmp_path, 1)
    await store.clear()
    assert names(tmp_path) == ["notes.eml"]
