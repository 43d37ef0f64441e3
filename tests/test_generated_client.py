"""What a generator makes of the API's description: a client with every operation and every error."""

import importlib
import json
import subprocess
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import httpx
import pytest
from full_backend import Mailbox, api_document

from galaxy_devkit.testing import Booted

pytestmark = pytest.mark.slow
NAME = "generated_galaxy"


def operations() -> dict[str, Any]:
    """Return the operations by their ids."""
    paths = api_document()["paths"].values()
    return {operation["operationId"]: operation for path in paths for operation in path.values()}


@pytest.fixture(scope="module")
def client_package(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Generate the client, which fails at any warning, and return its package's name."""
    folder = tmp_path_factory.mktemp("generated")
    (folder / "openapi.json").write_text(json.dumps(api_document()))
    (folder / "config.json").write_text(json.dumps({"post_hooks": []}))
    command = [
        *(sys.executable, "-m", "openapi_python_client", "generate", "--fail-on-warning", "--meta", "none"),
        *("--path", folder / "openapi.json", "--config", folder / "config.json", "--output-path", folder / NAME),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
    sys.path.insert(0, str(folder))
    yield NAME
    sys.path.remove(str(folder))
    for name in [name for name in sys.modules if name.partition(".")[0] == NAME]:
        del sys.modules[name]


def module_of(package: str, operation_id: str) -> ModuleType:
    return importlib.import_module(f"{package}.api.{operation_id.partition('.')[0]}.{operation_id.replace('.', '_')}")


def test_every_operation_knows_every_error(client_package: str) -> None:
    """Each is importable, and makes a Problem of each status that is described."""
    problem_class = importlib.import_module(f"{client_package}.models").Problem
    client = importlib.import_module(client_package).Client(
        base_url="http://localhost", raise_on_unexpected_status=True
    )
    for operation_id, operation in operations().items():
        parse = module_of(client_package, operation_id)._parse_response
        described = operation["responses"].items()
        for status in (
            int(status) for status, each in described if status >= "400" and "text/html" not in each["content"]
        ):
            body = {
                "type": "about:blank",
                "title": "T",
                "status": status,
                "code": "c",
                "detail": "d",
                "request_id": "r",
            }
            parsed = parse(client=client, response=httpx.Response(status, json=body))
            assert isinstance(parsed, problem_class), f"{operation_id} {status}"
            assert parsed.status == status


async def test_a_sign_in_by_the_generated_client(client_package: str, full_backend: Booted, mailbox: Mailbox) -> None:
    """Its calls, models and problems work against the service, from the first call to one with the token."""
    package, models = importlib.import_module(client_package), importlib.import_module(f"{client_package}.models")
    async with package.Client(base_url=full_backend.url) as client:
        send = module_of(client_package, "auth.send_email_code").asyncio
        challenge = await send(client=client, body=models.SendCode(email="ada@example.test"))
        code = await mailbox.code_to("ada@example.test")
        confirm = module_of(client_package, "auth.confirm_email_code").asyncio
        session = await confirm(client=client, body=models.ConfirmCode(challenge_id=challenge.challenge_id, code=code))
        again = await confirm(client=client, body=models.ConfirmCode(challenge_id=challenge.challenge_id, code=code))
        assert (again.status, again.code) == (401, "challenge_closed")
    async with package.AuthenticatedClient(base_url=full_backend.url, token=session.session_token) as client:
        account = await module_of(client_package, "user.account").asyncio(client=client)
    assert (account.id, account.email) == (session.account.id, "ada@example.test")
