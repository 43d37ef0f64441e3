"""The directory that `backend dev` keeps between runs."""

import os
import stat
from pathlib import Path

import pytest

from galaxy_chassis.errors import BootError
from galaxy_devkit.dev.home import opened


def test_secrets_are_kept_for_their_owner(tmp_path: Path) -> None:
    """A secret is created once, long enough, readable by its owner only, and out of version control."""
    with opened(tmp_path / "data") as home:
        secret = home.secret("secret_key")
        assert len(secret.encode()) >= 32
        assert home.secret("secret_key") == secret
        assert home.secret("gateway_token") != secret
    with opened(tmp_path / "data") as home:
        assert home.secret("secret_key") == secret
    assert stat.S_IMODE((tmp_path / "data" / "secret_key").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "data").stat().st_mode) == 0o700
    assert (tmp_path / "data" / ".gitignore").read_text() == "*\n"


def test_one_at_a_time(tmp_path: Path) -> None:
    """A second one on the same directory is refused with the first one's process; when that is gone, it is not."""
    refusal = rf"already running on .* \(process {os.getpid()}\): stop that one, or"
    with opened(tmp_path), pytest.raises(BootError, match=refusal), opened(tmp_path):
        pass
    with opened(tmp_path):
        pass


def test_directory_that_cannot_be(tmp_path: Path) -> None:
    """A directory that cannot be made is refused with what to do."""
    (tmp_path / "file").touch()
    refusal = "cannot keep data in .*: .*; name another directory with --data"
    with pytest.raises(BootError, match=refusal), opened(tmp_path / "file" / "data"):
        pass


def test_a_crash_leaves_no_empty_secret(tmp_path: Path) -> None:
    """A half-written secret is discarded and created again."""
    with opened(tmp_path) as home:
        (tmp_path / "secret_key.half").write_text("half of o")
        assert len(home.secret("secret_key")) >= 48
        assert not (tmp_path / "secret_key.half").exists()
        assert len(home.secret("admin_password", 12)) == 16


def test_the_port_of_postgres_is_kept(tmp_path: Path) -> None:
    """There is none before the first start, nor where somebody has written something else there."""
    with opened(tmp_path) as home:
        assert home.postgres_port == 0
        home.keep_postgres_port(54321)
        assert home.postgres_port == 54321
        (tmp_path / "postgres_port").write_text("")
        assert home.postgres_port == 0


def test_each_thing_has_its_place(tmp_path: Path) -> None:
    """Postgres and each companion have a directory below, which they make themselves."""
    with opened(tmp_path) as home:
        assert (home.postgres, home.companion("mail")) == (tmp_path / "postgres", tmp_path / "mail")
        assert not home.postgres.exists()
