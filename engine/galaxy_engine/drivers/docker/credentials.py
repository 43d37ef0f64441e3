"""Logins to registries: read from a Docker `config.json` at each pull, so that a renewed login counts at once.

What `docker login` writes is understood: `auths` with `auth`, `username` and `password`, `identitytoken` or
`registrytoken`, and the helpers of `credHelpers` and `credsStore`, which are run as `docker-credential-NAME get`. A
registry of which the file says nothing is asked without a login.
"""

import asyncio
import base64
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from galaxy_engine.failures import ConfigInvalid, PullFailed

HUB = "https://index.docker.io/v1/"
"""What Docker calls its own registry in the file and asks helpers for."""
_HUB_NAMES = {"docker.io", "index.docker.io", "registry-1.docker.io"}
HELPER_TIMEOUT = 30.0
_HELPER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_NOT_FOUND = "credentials not found"
"""What a helper says, with exit status 1, of a registry that it does not know."""
_TOKEN = "<token>"  # noqa: S105
"""The user that a helper names where the secret is an identity token."""


class Login(msgspec.Struct, frozen=True, omit_defaults=True):
    """A login as the daemon takes it in `X-Registry-Auth`, and as `auths` has it."""

    username: str = ""
    password: str = ""
    identitytoken: str = ""
    registrytoken: str = ""
    auth: str = ""
    """`username:password` in base64, in the file alone."""
    serveraddress: str = ""

    @property
    def header(self) -> str:
        """The value of `X-Registry-Auth`."""
        return base64.urlsafe_b64encode(msgspec.json.encode(self)).decode()


class _Config(msgspec.Struct, frozen=True):
    auths: dict[str, Login] = {}
    credHelpers: dict[str, str] = {}  # noqa: N815  the file's name
    credsStore: str = ""  # noqa: N815


class _FromHelper(msgspec.Struct, frozen=True, rename="pascal"):
    username: str
    secret: str


def default_config(environment: Mapping[str, str]) -> Path | None:
    """Return the file that the command `docker` would read, None if there is none."""
    folder = environment.get("DOCKER_CONFIG") or Path(environment.get("HOME") or "/nonexistent") / ".docker"
    path = Path(folder) / "config.json"
    return path if path.is_file() else None


def registry_of(repository: str) -> str:
    """Return the registry of a repository, by the rule by which the daemon finds it."""
    first, slash, _ = repository.partition("/")
    named = slash and ("." in first or ":" in first or first == "localhost")
    return HUB if not named or first in _HUB_NAMES else first


async def headers(config: Path | None, repository: str) -> Mapping[str, str]:
    """Return the headers of a pull: those of the login to the repository's registry, if there is one.

    Raise `ConfigInvalid` if the file cannot be used, and `PullFailed` if a helper fails.
    """
    if config is None:
        return {}
    login = await asyncio.to_thread(find, config, registry_of(repository))
    return {} if login is None else {"X-Registry-Auth": login.header}


def find(path: Path, registry: str) -> Login | None:
    """Return the login to the registry, None where there is none."""
    config = _read(path)
    helper = _of_registry(config.credHelpers, registry)
    login = _of_registry(config.auths, registry)
    if helper is None and (login is None or login == Login()):  # `docker login` leaves {} where a store has the rest
        helper = config.credsStore or None
    found = login if helper is None else _ask(helper, registry)
    return None if found is None or found == Login() else _whole(found, path, registry)


def _read(path: Path) -> _Config:
    """Return the file's contents. What is wrong in it is not quoted: it holds secrets."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=_Config)
    except OSError as error:
        raise ConfigInvalid(f"the Docker configuration {path} cannot be read", error.strerror or "") from error
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        reason = str(error) if isinstance(error, msgspec.ValidationError) else "it is not JSON"
        raise ConfigInvalid(f"the Docker configuration {path} cannot be read", reason) from None


def _of_registry(entries: Mapping[str, Any], registry: str) -> Any:
    """Return the entry whose key is the registry, with or without scheme and path."""
    return next((entry for key, entry in entries.items() if key == registry or _host(key) == _host(registry)), None)


def _host(key: str) -> str:
    host = re.sub(r"^https?://", "", key).partition("/")[0]
    return "docker.io" if host in _HUB_NAMES else host


def _whole(login: Login, path: Path, registry: str) -> Login:
    """Return the login with the user and password that `auth` holds."""
    try:
        pair = base64.b64decode(login.auth, validate=True).decode()
    except ValueError:
        raise ConfigInvalid(f"the login to {registry} in {path} cannot be read", "its `auth` is not base64") from None
    username, colon, password = pair.rstrip("\0").partition(":")
    if login.auth and not colon:
        raise ConfigInvalid(f"the login to {registry} in {path} cannot be read", "its `auth` has no password")
    more = {"username": username, "password": password} if colon else {}
    return msgspec.structs.replace(login, **more, auth="", serveraddress=registry)


def _ask(helper: str, registry: str) -> Login | None:
    """Return what the helper has. Its output is quoted nowhere: it holds secrets."""
    if not _HELPER.fullmatch(helper):
        raise ConfigInvalid(f"{helper!r} is not the name of a credential helper")
    program = f"docker-credential-{helper}"
    try:
        finished = subprocess.run(  # noqa: S603  the name is checked
            [program, "get"], input=registry.encode(), capture_output=True, timeout=HELPER_TIMEOUT, check=False
        )
    except OSError as error:
        raise ConfigInvalid(f"the credential helper {program} cannot be run", error.strerror or "") from error
    except subprocess.TimeoutExpired as error:
        raise PullFailed(f"{program} has no login to {registry}", f"no answer in {error.timeout:g} s") from None
    if finished.returncode != 0:
        said = (finished.stdout or finished.stderr).decode(errors="replace").strip()
        if _NOT_FOUND in said:
            return None
        raise PullFailed(f"{program} has no login to {registry}", said[:500])
    return _of_helper(program, registry, finished.stdout)


def _of_helper(program: str, registry: str, output: bytes) -> Login:
    try:
        found = msgspec.json.decode(output, type=_FromHelper)
    except msgspec.MsgspecError:
        raise PullFailed(f"{program} has no login to {registry}", "its answer is not a login") from None
    if found.username == _TOKEN:
        return Login(identitytoken=found.secret)
    return Login(username=found.username, password=found.secret)
