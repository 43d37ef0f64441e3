"""Where session tokens are kept between commands: in the platform's keyring, or else each in a file of mode 0600."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import keyring
from keyring.errors import NoKeyringError, PasswordDeleteError

from galaxy_client.cli import files
from galaxy_client.cli.output import note

T = TypeVar("T")

_SERVICE = "galaxy-backend"


def load(server: str) -> str | None:
    """Return the token for a server, or None. Raise CommandError for a file that others can read.

    The file comes first: it is there only where the keyring did not take the last token.
    """
    document = files.read(_path(server), secret=True)
    token = document.get("token") if isinstance(document, dict) else None
    if isinstance(token, str):
        return token
    return _with_keyring(lambda: keyring.get_password(_SERVICE, server), None)


def save(server: str, token: str) -> str:
    """Keep a token in place of the former one; return where. Raise CommandError."""
    if _with_keyring(lambda: _keep(server, token), False):
        _path(server).unlink(missing_ok=True)
        return "the keyring"
    path = _path(server)
    files.write(path, {"server": server, "token": token})
    return str(path)


def forget(server: str) -> None:
    """Delete the token for a server, wherever it is."""
    _path(server).unlink(missing_ok=True)
    _with_keyring(lambda: keyring.delete_password(_SERVICE, server), None)


def _keep(server: str, token: str) -> bool:
    """Return whether the keyring has the token: some backends forget everything without saying so."""
    keyring.set_password(_SERVICE, server, token)
    return keyring.get_password(_SERVICE, server) == token


def _with_keyring(act: Callable[[], T], otherwise: T) -> T:
    """Return what the keyring says, or something else where there is none or it fails."""
    try:
        return act()
    except (NoKeyringError, PasswordDeleteError):
        return otherwise  # no keyring here, or nothing in it
    except Exception as error:  # each backend raises what its platform does
        note(f"The keyring cannot be used: {type(error).__name__}.")
        return otherwise


def _path(server: str) -> Path:
    """Return a file for each server: commands for different ones do not write over each other."""
    return files.folder() / f"token-{hashlib.sha256(server.encode()).hexdigest()[:16]}.json"
