"""The proxy before a real daemon: what a hostile backend tries, tried."""

import json
from collections.abc import AsyncIterator

import hostile
import pytest
from hosts import DockerHost

from galaxy_engine.proxy.policy import MOST, Policy
from galaxy_engine.proxy.server import listen, serving

pytestmark = pytest.mark.docker


@pytest.fixture
async def proxy(host: DockerHost, name: str) -> AsyncIterator[tuple[str, int]]:
    """The address of a proxy for engines on one network."""
    listener = listen("127.0.0.1:0")
    address = listener.getsockname()
    async with serving(Policy.checked(hostile.STACK, ("galaxy-test/",), (name,), MOST), host.host, listener):
        yield address


async def test_hostile_requests(host: DockerHost, name: str, proxy: tuple[str, int]) -> None:
    """Every hostile request is refused by the proxy itself, a neighbour on the daemon stays as it is."""
    network = (await host.docker.networks.create({"Name": name, "Internal": True})).id
    image = await host.docker.images.inspect(host.image)
    neighbour = await host.occupy(hostile.ENGINE, Labels={"galaxy.backend": "1", "galaxy.stack": "green"})
    before = await neighbour.show()
    targets = [("POST", hostile.CREATE, hostile.framed(body)) for _, body in hostile.bodies(network, image)]
    good = json.dumps(hostile.body(network, image)).encode()
    targets += [("POST", hostile.CREATE, rest(good)) for _, rest in hostile.RAW]
    others = [seen["Id"] for seen in await host.networks("bridge")]
    for method, path in hostile.calls(neighbour.id, others[0] if others else 64 * "0"):
        targets.append((method, hostile.url(path), b"\r\n"))
    for method, target, rest in targets:
        status, answer = await hostile.send(proxy, method, target, rest)
        assert status == 0 or 400 <= status < 500, (method, target, answer)
        by_proxy = method == "HEAD" or b"docker-proxy: " in answer
        assert status in {0, 400} or by_proxy, (method, target, answer)
    assert len(targets) > 100
    assert await neighbour.show() == before
    await neighbour.delete(force=True)
    status, answer = await hostile.send(proxy, "POST", hostile.CREATE, hostile.framed(good))
    assert status == 201, answer
    made = host.container(json.loads(answer)["Id"])
    assert (await made.show())["Config"]["Labels"]["galaxy.stack"] == hostile.STACK
    await made.delete(force=True)
