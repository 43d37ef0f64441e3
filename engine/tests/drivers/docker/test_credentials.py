"""Logins to registries: where they come from, what is wrong with them, and that a real registry takes them."""

import base64
import json
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import image
import pytest
from hosts import DockerHost

from galaxy_engine.drivers.docker.credentials import HUB, Login, default_config, find, headers, registry_of
from galaxy_engine.failures import ConfigInvalid, EngineFailure, PullFailed
from galaxy_engine.testing import registry as registries
from galaxy_engine.testing.fixtures import no_docker

REGISTRY = "registry.example:5000"
PASSWORD = "Open, please"
USERS = "ada:$2b$04$faUPiVe9fN2o5lN/K2ksse82pl6EgsEkQ5hOdaYIjdVCqfOkJO6Li\n"
"""Ada with that password, as htpasswd -B writes it."""
HELPER = """#!/bin/sh
read -r registry
echo "$1 $registry" >>"$0.calls"
cat "$0.says"
exit $(cat "$0.status")
"""


def written(folder: Path, **config: Any) -> Path:
    """Return a configuration with these members."""
    path = folder / "config.json"
    path.write_text(json.dumps(config))
    return path


def pair(user: str, password: str) -> str:
    return base64.b64encode(f"{user}:{password}".encode()).decode()


@pytest.mark.parametrize(
    ("repository", "registry"),
    [
        ("engine", HUB),
        ("galaxy/engine", HUB),
        ("docker.io/galaxy/engine", HUB),
        ("registry.example/engine", "registry.example"),
        ("localhost/engine", "localhost"),
        ("registry:5000/a/b", "registry:5000"),
    ],
)
def test_registry_of_a_repository(repository: str, registry: str) -> None:
    """The first part is a registry where it looks like a host; else the registry is Docker's own."""
    assert registry_of(repository) == registry


@pytest.mark.parametrize("key", [REGISTRY, f"https://{REGISTRY}", f"http://{REGISTRY}/v2/"])
def test_user_and_password(tmp_path: Path, key: str) -> None:
    """`auth` is user and password, under the registry's name or its address; a password may have colons."""
    path = written(tmp_path, auths={"other.example": {"auth": pair("eve", "x")}, key: {"auth": pair("ada", "a:b")}})
    assert find(path, REGISTRY) == Login(username="ada", password="a:b", serveraddress=REGISTRY)


@pytest.mark.parametrize("key", [HUB, "docker.io", "https://registry-1.docker.io/v2/"])
def test_dockers_own_registry(tmp_path: Path, key: str) -> None:
    """It has several names, and the daemon knows it by one."""
    login = find(written(tmp_path, auths={key: {"auth": pair("ada", "b")}}), registry_of("galaxy/engine"))
    assert login is not None
    assert (login.username, login.serveraddress) == ("ada", HUB)


def test_tokens(tmp_path: Path) -> None:
    """An identity token is passed on as it is."""
    path = written(tmp_path, auths={REGISTRY: {"auth": pair("ada", ""), "identitytoken": "t"}})
    assert find(path, REGISTRY) == Login(username="ada", identitytoken="t", serveraddress=REGISTRY)


@pytest.mark.parametrize("config", [{}, {"auths": {}}, {"auths": {"other.example": {"auth": "eDp5"}}}, {"psFormat": 1}])
async def test_no_login(tmp_path: Path, config: dict[str, Any]) -> None:
    """A registry of which the file says nothing is asked without a login, as all are without a file."""
    assert find(written(tmp_path, **config), REGISTRY) is None
    assert await headers(written(tmp_path, **config), f"{REGISTRY}/engine") == {}
    assert await headers(None, f"{REGISTRY}/engine") == {}


@pytest.mark.parametrize(
    "content",
    [
        None,
        b"{",
        b"[]",
        b'{"auths": {"a": 1}}',
        b'{"auths": {"registry.example:5000": {"auth": "secret!"}}}',
        b'{"auths": {"registry.example:5000": {"auth": "c2VjcmV0"}}}',
        b'{"credsStore": "../../bin/sh"}',
    ],
)
def test_broken_configuration(tmp_path: Path, content: bytes | None) -> None:
    """What cannot be used is `config_invalid`, and nothing of the file is quoted but the name of a helper."""
    path = tmp_path / "config.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigInvalid) as caught:
        find(path, REGISTRY)
    assert "secret" not in f"{caught.value} {caught.value.detail}"
    assert "c2VjcmV0" not in f"{caught.value} {caught.value.detail}"


@pytest.fixture
def helper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A credential helper called `test`."""
    program = tmp_path / "docker-credential-test"
    program.write_text(HELPER)
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    return program


def says(helper: Path, text: str, status: int = 0) -> None:
    Path(f"{helper}.says").write_text(text)
    Path(f"{helper}.status").write_text(str(status))


@pytest.mark.parametrize(
    "config", [{"credHelpers": {REGISTRY: "test"}}, {"credsStore": "test", "auths": {REGISTRY: {}}}]
)
def test_helper(tmp_path: Path, helper: Path, config: dict[str, Any]) -> None:
    """A helper is asked at each look, and has a password or a token."""
    path = written(tmp_path, **config)
    says(helper, json.dumps({"ServerURL": REGISTRY, "Username": "ada", "Secret": "b"}))
    assert find(path, REGISTRY) == Login(username="ada", password="b", serveraddress=REGISTRY)
    says(helper, json.dumps({"ServerURL": REGISTRY, "Username": "<token>", "Secret": "t"}))
    assert find(path, REGISTRY) == Login(identitytoken="t", serveraddress=REGISTRY)
    assert Path(f"{helper}.calls").read_text() == f"get {REGISTRY}\n" * 2


def test_helper_without_a_login(tmp_path: Path, helper: Path) -> None:
    """A registry that the helper does not know is asked without a login."""
    says(helper, "credentials not found in native keychain\n", 1)
    assert find(written(tmp_path, credsStore="test"), REGISTRY) is None


@pytest.mark.parametrize(
    ("text", "status", "failure"), [("the keychain is locked", 1, PullFailed), ("Secret", 0, PullFailed)]
)
def test_helper_that_fails(tmp_path: Path, helper: Path, text: str, status: int, failure: type[EngineFailure]) -> None:
    """What a helper says of its failure is passed on; what should be a login is not."""
    says(helper, text, status)
    with pytest.raises(failure, match="docker-credential-test has no login") as caught:
        find(written(tmp_path, credsStore="test"), REGISTRY)
    assert (text in caught.value.detail) == (status != 0)


def test_helper_that_is_not_installed(tmp_path: Path) -> None:
    """It is named."""
    with pytest.raises(ConfigInvalid, match="docker-credential-missing cannot be run"):
        find(written(tmp_path, credHelpers={REGISTRY: "missing"}), REGISTRY)


def test_file_of_the_command_docker(tmp_path: Path) -> None:
    """The conformance kit reads what the command `docker` reads, where there is something."""
    assert default_config({"HOME": str(tmp_path)}) is None
    assert default_config({}) is None
    (tmp_path / ".docker").mkdir()
    path = written(tmp_path / ".docker")
    assert default_config({"HOME": str(tmp_path)}) == path
    assert default_config({"HOME": "/nonexistent", "DOCKER_CONFIG": str(path.parent)}) == path


@pytest.fixture(scope="module")
def closed_registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of a registry that Ada alone may use."""
    program = shutil.which("docker-registry")
    if program is None:
        no_docker("pulls are tested against docker-registry, which is not installed")
    process, port = registries.start(str(program), tmp_path_factory.mktemp("registry"), users=USERS)
    yield port
    process.terminate()
    process.wait()


@pytest.mark.docker
async def test_pull_with_a_login(host: DockerHost, closed_registry: int, tmp_path: Path) -> None:
    """A registry that asks for a login gets the one in the file, as the file is at the moment of the pull."""
    registry = f"127.0.0.1:{closed_registry}"
    name = f"{registry}/galaxy-test/{uuid4().hex[:8]}:1"
    await pushed(host, name)
    path = written(tmp_path, auths={})
    driver = host.driver(credentials=path)
    try:
        for auths in ({}, {registry: {"auth": pair("ada", "wrong")}}):
            written(tmp_path, auths=auths)
            with pytest.raises(PullFailed, match="could not be pulled") as caught:
                await driver.prepare(name, "if_missing")
            assert "no basic auth credentials" in caught.value.detail or "unauthorized" in caught.value.detail
        written(tmp_path, auths={registry: {"auth": pair("ada", PASSWORD)}})
        assert (await driver.prepare(name, "if_missing")).digest
    finally:
        await driver.close()
        await host.docker.images.delete(name, force=True)


async def pushed(host: DockerHost, name: str) -> None:
    """Have an image in the registry, and here no more."""
    tar = image.root(str(image.busybox()), extra=name.encode())
    await image.make(host.docker, tar, name, image.VARIANTS["engine"])
    await host.docker.images.push(name, auth={"username": "ada", "password": PASSWORD})
    await host.docker.images.delete(name, force=True)
