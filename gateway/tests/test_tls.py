"""TLS by file to clients, and the ways to a backend: a Unix socket, and TLS."""

import json
import os
import ssl
from pathlib import Path

import aiohttp
import pytest
from certificates import certificate
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)
from gateway_doubles import ACCOUNT, AS_USER, EVENTS, PUBLIC, QUIET, TOKEN, Start, scripted_backend
from push_backend import PushBackend, until
from sse_client import SseClient

from galaxy_chassis.errors import ConfigurationError
from galaxy_gateway.gateway import Gateway, configure
from galaxy_gateway.tls import ServerCertificate


class Files:
    """A certificate's file and its key's, which a test replaces."""

    def __init__(self, folder: Path) -> None:
        self.certificate, self.key = folder / "certificate.pem", folder / "key.pem"
        self._written = 0

    def write(self, certificate: bytes, key: bytes) -> None:
        """Replace both files; each time they are a second younger, whatever the file system's clock shows."""
        self._written += 1
        for path, pem in ((self.certificate, certificate), (self.key, key)):
            path.write_bytes(pem)
            os.utime(path, (self._written, self._written))

    def renew(self) -> ssl.SSLContext:
        """Write a new certificate, and return what a client that trusts it alone uses."""
        pem, key = certificate()
        self.write(pem, key)
        return ssl.create_default_context(cadata=pem.decode())

    @property
    def settings(self) -> dict[str, str]:
        """The gateway's."""
        return {"tls_certificate": str(self.certificate), "tls_key": str(self.key)}


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


async def shown(address: str, trusted: ssl.SSLContext) -> bool:
    """Return whether a new connection is shown a certificate that the client trusts."""
    async with aiohttp.ClientSession() as client:
        try:
            async with client.get(f"https://{address}{PUBLIC}", ssl=trusted) as answer:
                return answer.status == 200
        except aiohttp.ClientConnectorCertificateError:
            return False


async def test_calls_and_both_kinds_of_streams_are_secured(start: Start, files: Files, push: PushBackend) -> None:
    """HTTPS, server-sent events and a WebSocket over TLS; plain HTTP is not answered."""
    trusted = files.renew()
    front = await start(push_addr=push.address, **files.settings)
    await until(lambda: front.gateway._streams.subscribed)
    url = f"https://{front.gateway.address}"
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=trusted), headers=AS_USER) as client:
        async with client.get(f"{url}{PUBLIC}") as answer:
            assert (answer.status, (await answer.json())["path"]) == (200, PUBLIC)
        events = SseClient(await client.get(f"{url}{EVENTS}"))
        events.listen()
        await until(lambda: events.blocks)
        socket = await client.ws_connect(f"{url}{EVENTS}", protocols=["galaxy.events.v1"])
        await socket.send_json({"last_event_id": push.cursor()})
        await push.publish(1, account_id=ACCOUNT)
        await events.heard(1)
        assert (events.numbers, json.loads(await socket.receive_str())["data"]) == ([1], {"n": 1})
        events.close()
        await socket.close()
    with pytest.raises(aiohttp.ClientError):
        await front.ask("GET", PUBLIC)


async def test_a_new_file_is_used_without_a_restart(start: Start, files: Files) -> None:
    """New connections are shown it once it has been looked at; what has not changed is not loaded again."""
    first = files.renew()
    front = await start(**files.settings)
    own = front.gateway._certificate
    assert own is not None
    second = files.renew()
    assert [await shown(front.gateway.address, each) for each in (first, second)] == [True, False]
    assert own.reload()
    assert [await shown(front.gateway.address, each) for each in (first, second)] == [False, True]
    assert not own.reload()


@pytest.mark.parametrize("damage", ["no certificate", "the key of another", "a missing file"])
async def test_a_new_file_that_is_bad_leaves_the_former_in_use(start: Start, files: Files, damage: str) -> None:
    """Half of a renewal is refused and tried again, and clients are shown the former certificate meanwhile."""
    first = files.renew()
    front = await start(**files.settings)
    own = front.gateway._certificate
    assert own is not None
    (pem, key), (_, other) = certificate(), certificate()
    if damage == "a missing file":
        files.key.unlink()
    else:
        files.write(b"nothing" if damage == "no certificate" else pem, other)
    assert not own.reload()
    assert await shown(front.gateway.address, first)
    files.write(pem, key)
    assert own.reload()
    assert await shown(front.gateway.address, ssl.create_default_context(cadata=pem.decode()))


@pytest.mark.parametrize("damage", ["missing", "empty", "the key of another", "a key with a passphrase"])
def test_a_bad_file_refuses_the_boot(files: Files, damage: str) -> None:
    """The error names the variable."""
    (pem, key), (_, other) = certificate(), certificate()
    files.write(b"" if damage == "empty" else pem, other if damage == "the key of another" else key)
    if damage == "missing":
        files.certificate.unlink()
    if damage == "a key with a passphrase":
        files.key.write_bytes(_locked(key))
    with pytest.raises(ConfigurationError, match="GATEWAY_TLS_CERTIFICATE: expected files of a certificate chain"):
        ServerCertificate(files.certificate, files.key)


async def test_the_gateway_itself_refuses_to_start(files: Files) -> None:
    """Nothing listens when its certificate or its backends' authority is bad, or a key stands alone."""
    files.write(b"", b"")
    bad = str(files.certificate)
    for settings, variable in (
        ({"GATEWAY_TLS_CERTIFICATE": bad}, "GATEWAY_TLS_CERTIFICATE"),
        ({"GATEWAY_TLS_KEY": bad}, "GATEWAY_TLS_KEY"),
        ({"GATEWAY_BACKEND_CA": bad}, "GATEWAY_BACKEND_CA"),
    ):
        with pytest.raises(ConfigurationError, match=variable):
            Gateway(configure({**QUIET, "GATEWAY_TOKEN": TOKEN, **settings}))


async def test_a_backend_by_unix_socket(start: Start, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Calls pass, and one whose socket is gone is 502."""
    async with scripted_backend(f"unix://{tmp_path_factory.mktemp('s')}/b.sock") as backend:
        front = await start(backend)
        status, _, body = await front.ask("POST", PUBLIC, json={"a": 1})
        assert (status, json.loads(body)["method"], backend.requests[-1][1]) == (200, "POST", b'{"a": 1}')
        await backend.kill()
        assert (await front.ask("POST", PUBLIC, json={}))[0] == 502


async def test_a_backend_by_https(start: Start, files: Files) -> None:
    """A backend whose authority is known is called; one that shows another certificate gets nothing."""
    files.renew()
    own = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    own.load_cert_chain(files.certificate, files.key)
    async with scripted_backend("https://localhost:0", own) as backend:
        front = await start(backend, backend_ca=str(files.certificate))
        assert (await front.ask("GET", PUBLIC, headers=AS_USER))[0] == 200
        files.renew()
        stranger = await start(backend, backend_ca=str(files.certificate))
        seen = len(backend.requests)
        status, _, body = await stranger.ask("GET", PUBLIC, headers=AS_USER)
        assert (status, json.loads(body)["code"]) == (502, "backend_unreachable")
        assert len(backend.requests) == seen


def _locked(key: bytes) -> bytes:
    """Return a key in the form that asks for a passphrase."""
    private = load_pem_private_key(key, None)
    return private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret"))
