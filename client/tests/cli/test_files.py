"""Files of one's own, and the tokens in them."""

import json
from pathlib import Path

import keyring
import pytest
from keyring.backend import KeyringBackend
from keyring.errors import KeyringLocked

from galaxy_client.cli import files, tokens
from galaxy_client.cli.failures import CommandError

SERVER, TOKEN = "https://games.example.org", "kZ8-very-secret"


@pytest.fixture(autouse=True)
def configured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Have a folder of our own and no keyring."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    previous = keyring.get_keyring()
    monkeypatch.setattr(keyring.core, "_keyring_backend", previous)
    from keyring.backends.fail import Keyring

    keyring.set_keyring(Keyring())
    return tmp_path / "galaxy"


class Memory(KeyringBackend):
    """A keyring that keeps passwords, forgets them, or is locked."""

    priority = 1.0  # type: ignore[assignment] # a class attribute, as the library's own backends have it

    def __init__(self, *, forgets: bool = False, locked: bool = False) -> None:
        super().__init__()
        self.kept: dict[tuple[str, str], str] = {}
        self.forgets, self.locked = forgets, locked

    def get_password(self, service: str, username: str) -> str | None:
        self._check()
        return self.kept.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self._check()
        if not self.forgets:
            self.kept[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        self._check()
        self.kept.pop((service, username), None)

    def _check(self) -> None:
        if self.locked:
            raise KeyringLocked("locked")


def test_without_a_keyring(configured: Path) -> None:
    """A token is in a file that its owner alone can read, until it is forgotten."""
    where = Path(tokens.save(SERVER, TOKEN))
    assert (where.parent, where.stat().st_mode & 0o777) == (configured, 0o600)
    assert configured.stat().st_mode & 0o777 == 0o700
    assert [path.name for path in configured.iterdir()] == [where.name], "nothing is left of writing it"
    assert (tokens.load(SERVER), tokens.load("https://other.example.org")) == (TOKEN, None)
    tokens.forget(SERVER)
    assert tokens.load(SERVER) is None


def test_with_a_keyring(configured: Path) -> None:
    """A keyring has the token, and no file does."""
    tokens.save(SERVER, "former")
    keyring.set_keyring(Memory())
    assert tokens.save(SERVER, TOKEN) == "the keyring"
    assert tokens.load(SERVER) == TOKEN
    assert list(configured.iterdir()) == []
    tokens.forget(SERVER)
    assert tokens.load(SERVER) is None


@pytest.mark.parametrize("broken", [Memory(forgets=True), Memory(locked=True)], ids=["forgets", "locked"])
def test_with_a_keyring_that_fails(broken: Memory, capsys: pytest.CaptureFixture[str]) -> None:
    """A keyring that does not keep the token is not relied on."""
    keyring.set_keyring(broken)
    assert tokens.save(SERVER, TOKEN) != "the keyring"
    assert tokens.load(SERVER) == TOKEN
    tokens.forget(SERVER)
    assert tokens.load(SERVER) is None
    assert TOKEN not in capsys.readouterr().err


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o620])
def test_a_file_that_others_can_read(mode: int) -> None:
    """It is refused with its mode and what to do."""
    where = Path(tokens.save(SERVER, TOKEN))
    where.chmod(mode)
    with pytest.raises(CommandError, match=rf"can be read by others \(mode {mode:o}\)") as refused:
        tokens.load(SERVER)
    assert "chmod 600" in refused.value.next_steps[0]


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    """Somebody else's file does not stand in for ours."""
    where = Path(tokens.save(SERVER, TOKEN))
    other = where.rename(tmp_path / "elsewhere")
    where.symlink_to(other)
    with pytest.raises(CommandError, match="cannot read"):
        tokens.load(SERVER)


def test_a_damaged_file() -> None:
    """It is said, with the way out."""
    where = Path(tokens.save(SERVER, TOKEN))
    where.write_text("{")
    with pytest.raises(CommandError, match="damaged"):
        tokens.load(SERVER)


def test_a_write_that_fails_leaves_the_former_file(configured: Path) -> None:
    """What cannot be written whole is not written at all."""
    path = configured / "server.json"
    files.write(path, {"server": SERVER})
    with pytest.raises(TypeError):
        files.write(path, {"server": SERVER, "more": object()})
    assert json.loads(path.read_text()) == {"server": SERVER}
    assert [each.name for each in configured.iterdir()] == ["server.json"]


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    """The path and the reason are said."""
    (tmp_path / "galaxy").write_text("")
    with pytest.raises(CommandError, match="cannot write"):
        files.write(files.folder() / "server.json", {})


def test_a_relative_folder_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """XDG says that relative paths are invalid."""
    monkeypatch.setenv("XDG_CONFIG_HOME", "here")
    assert files.folder() == Path.home() / ".config/galaxy"
