"""All plugins together, and a real SMTP server that keeps the mails."""

import asyncio
import functools
import json
import os
import re
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

from aiosmtpd.smtp import SMTP, Envelope, Session

from galaxy_admin.plugin import AdminPlugin
from galaxy_adminchannel.plugin import AdminChannelPlugin
from galaxy_auth.plugin import AuthPlugin
from galaxy_devkit.testing import Booted
from galaxy_devkit.testing.kernel import ENVIRONMENT
from galaxy_engineversion.plugin import EngineVersionPlugin
from galaxy_geo.plugin import GeoPlugin
from galaxy_kernel.core.assembly import assemble, describe_routes
from galaxy_kernel.http import openapi
from galaxy_lobby.plugin import LobbyPlugin
from galaxy_mail.plugin import MailPlugin
from galaxy_notification.plugin import NotificationPlugin
from galaxy_push.plugin import PushPlugin
from galaxy_runtime.plugin import RuntimePlugin
from galaxy_user.plugin import UserPlugin

SEND, CONFIRM = "/api/v1/public/auth/send-email-code", "/api/v1/public/auth/confirm-email-code"
ALL = (
    AdminChannelPlugin,
    AdminPlugin,
    AuthPlugin,
    EngineVersionPlugin,
    GeoPlugin,
    LobbyPlugin,
    MailPlugin,
    NotificationPlugin,
    PushPlugin,
    RuntimePlugin,
    UserPlugin,
)


@functools.cache
def api_document() -> dict[str, Any]:
    """Return the description of the whole API; who asks does not change it."""
    return openapi.build(describe_routes(assemble({})))


@dataclass
class Mailbox:
    """An SMTP server that keeps the mails it receives."""

    port: int = 0
    mails: list[EmailMessage] = field(default_factory=list)
    sources: list[bytes] = field(default_factory=list)
    """The mails as they came over SMTP."""
    arrived: asyncio.Condition = field(default_factory=asyncio.Condition)

    @property
    def environment(self) -> dict[str, str]:
        """The variables by which a backend sends its mails here."""
        return {
            "BACKEND_SMTP_HOST": "127.0.0.1",
            "BACKEND_SMTP_PORT": str(self.port),
            "BACKEND_SMTP_TLS_MODE": "none",
        }

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's
        """Keep a mail."""
        source = bytes(envelope.content or b"")
        message = message_from_bytes(source, policy=policy.default)
        async with self.arrived:
            self.sources.append(source)
            self.mails.append(message)  # type: ignore[arg-type] # the policy gives EmailMessage
            self.arrived.notify_all()
        return "250 OK"

    async def mail_to(self, address: str, patience: float = 30) -> EmailMessage:
        """Wait for the newest mail to an address."""
        async with asyncio.timeout(patience), self.arrived:
            await self.arrived.wait_for(lambda: any(mail["To"] == address for mail in self.mails))
        return next(mail for mail in reversed(self.mails) if mail["To"] == address)

    async def code_to(self, address: str, patience: float = 30) -> str:
        """Wait for a sign-in mail and read the code in it."""
        body = (await self.mail_to(address, patience)).get_body(("plain",))
        assert body is not None
        match = re.search(r"\b(\d{4})[ -]?(\d{4})\b", body.get_content())
        assert match is not None
        return match[1] + match[2]


@asynccontextmanager
async def receiving() -> AsyncIterator[Mailbox]:
    """Serve SMTP on a free port, and keep what comes."""
    box = Mailbox()
    server = await asyncio.get_running_loop().create_server(lambda: SMTP(box), "127.0.0.1", 0)
    box.port = server.sockets[0].getsockname()[1]
    yield box
    server.close()
    await server.wait_closed()


async def post(booted: Booted, path: str, body: Any, token: str = "") -> tuple[int, Any]:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    async with booted.client.post(path, json=body, headers=headers) as response:
        return response.status, await response.json()


async def sign_in(booted: Booted, mailbox: Mailbox, email: str) -> Any:
    """Sign in with a code from a real mail, and return the confirmation's answer."""
    status, challenge = await post(booted, SEND, {"email": email})
    assert status == 202
    body = {"challenge_id": challenge["challenge_id"], "code": await mailbox.code_to(email)}
    status, session = await post(booted, CONFIRM, body)
    assert status == 201, session
    return session


class Served:
    """A real `backend serve` process with whatever is installed, its JSON lines kept."""

    def __init__(self, dsn: str, environment: Mapping[str, str]) -> None:
        self._environment = {**ENVIRONMENT, "BACKEND_POSTGRES_DSN": dsn, **environment}
        self.lines: list[dict[str, Any]] = []
        self.process: asyncio.subprocess.Process
        self.url = ""
        self._reading: asyncio.Task[None]
        self._ready = asyncio.Event()

    async def __aenter__(self) -> "Served":
        """Start, and wait until it is ready."""
        self.process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "galaxy_kernel", "serve"),
            env={"PATH": os.environ["PATH"], **self._environment},
            stdout=asyncio.subprocess.PIPE,
        )
        self._reading = asyncio.create_task(self._read())
        try:
            async with asyncio.timeout(90):
                await self._ready.wait()
        except BaseException:
            await self.kill()
            await self._reading
            raise
        return self

    async def _read(self) -> None:
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            self.lines.append(json.loads(line))
            if self.lines[-1]["event"] == "service_started":
                self.url = f"http://{self.lines[-1]['address']}"
                self._ready.set()

    async def __aexit__(self, *_: object) -> None:
        """Stop it if it still runs, and read the rest of its output."""
        if self.process.returncode is None:
            self.process.terminate()
        await self.process.wait()
        await self._reading

    async def kill(self) -> None:
        """Kill -9."""
        self.process.kill()
        await self.process.wait()
