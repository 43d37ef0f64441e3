"""The page that shows the mails, and the JSON behind it, for browsers on this machine only.

Mails are treated as hostile. Their text reaches the page as JSON and is set as text, never as markup. Their HTML is a
document of its own, with its own policy: a sandbox without scripts that loads nothing. (In a `srcdoc` it would be under
the page's policy too, which forbids the inline styles that mails are made of.) Requests for another host name than this
machine's are refused, which prevents DNS rebinding.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict
from datetime import timedelta
from importlib.resources import files

from aiohttp import web

from galaxy_mail.dev.messages import view
from galaxy_mail.dev.store import Kept, MailStore, described

PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; frame-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
MAIL_POLICY = (
    "sandbox allow-popups allow-popups-to-escape-sandbox; "
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
)
_FOR_ALL = {
    "Content-Security-Policy": PAGE_POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-DNS-Prefetch-Control": "off",
    "Cache-Control": "no-store",
}
_OWN_NAME = re.compile(r"(127\.0\.0\.1|localhost|\[::1\])(:\d+)?", re.IGNORECASE)
"""The accepted host names, at any port, so that a forwarded one works."""
_TYPES = {"html": "text/html", "css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
_MAIL_HEAD = '<!doctype html><meta charset="utf-8"><base target="_blank">'
"""Makes links open a tab of their own: the frame must not navigate."""
_HASTY = re.compile(r"<(?=(?:link|i?frame)\b)", re.IGNORECASE)
"""Elements for which Chromium opens a connection before it checks the policy, which makes them useless anyway."""

HEARTBEAT = 15.0
"""Seconds between keep-alives on a quiet event stream."""
FRESH = timedelta(seconds=50)
"""Age up to which a code counts as the one just requested: less than the time between two sign-in mails."""
PATIENCE = 3.0
"""Seconds that `/api/code` waits for a fresh one."""


class MailPage:
    """The handlers."""

    def __init__(self, store: MailStore, *, smtp_port: int, patience: float = PATIENCE) -> None:
        """Read the page's files from the package."""
        self._store, self._patience = store, patience
        folder = files("galaxy_mail.dev") / "static"
        self._files = {file.name: file.read_text("utf-8") for file in folder.iterdir() if "." in file.name}
        self._files["index.html"] = self._files["index.html"].replace("{smtp_port}", str(smtp_port))

    def application(self) -> web.Application:
        """Return the application."""
        application = web.Application(middlewares=[_own_names_only])
        application.on_response_prepare.append(_harden)
        application.add_routes(
            [
                web.get("/", self._index),
                web.get("/static/{name}", self._static),
                web.get("/api/mails", self._list),
                web.delete("/api/mails", self._clear),
                web.get("/api/mails/{id}", self._show),
                web.get("/api/code", self._code),
                web.get("/api/events", self._events),
                web.get(r"/mails/{id:\d+}.html", self._html),
                web.get(r"/mails/{id:\d+}.eml", self._download),
            ]
        )
        return application

    async def _index(self, _: web.Request) -> web.Response:
        return web.Response(text=self._files["index.html"], content_type="text/html")

    async def _static(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        if name not in self._files:
            raise web.HTTPNotFound
        return web.Response(text=self._files[name], content_type=_TYPES[name.rpartition(".")[2]])

    async def _list(self, request: web.Request) -> web.Response:
        return web.json_response([described(mail) for mail in self._mails(request.query.get("to"))])

    async def _clear(self, _: web.Request) -> web.Response:
        await self._store.clear()
        return web.Response(status=204)

    async def _show(self, request: web.Request) -> web.Response:
        content = await self._read(request)
        mail = next((each for each in self._store.mails() if each.id == request.match_info["id"]), None)
        if mail is None:  # deleted meanwhile
            raise web.HTTPNotFound(text="This mail is gone.")
        return web.json_response({**described(mail), **asdict(await asyncio.to_thread(view, content))})

    async def _html(self, request: web.Request) -> web.Response:
        shown = await asyncio.to_thread(view, await self._read(request))
        body = (_MAIL_HEAD + _HASTY.sub("<x-", shown.html)).encode("utf-8", "replace")
        headers = {"Content-Security-Policy": MAIL_POLICY}
        return web.Response(body=body, content_type="text/html", charset="utf-8", headers=headers)

    async def _download(self, request: web.Request) -> web.Response:
        headers = {"Content-Disposition": f'attachment; filename="{request.match_info["id"]}.eml"'}
        return web.Response(body=await self._read(request), content_type="message/rfc822", headers=headers)

    async def _code(self, request: web.Request) -> web.Response:
        """Answer with the newest code, for scripts; a code just requested may be on its way, so wait a moment."""
        to = request.query.get("to")
        try:
            async with asyncio.timeout(self._patience):
                while not self._is_fresh(mail := self._with_code(to)) and not self._store.closed:
                    await self._store.changed(self._store.version, HEARTBEAT)
        except TimeoutError:
            mail = self._with_code(to)
        if mail is None:
            raise web.HTTPNotFound(text="No mail with a code has come for this address.\n")
        return web.Response(text=f"{mail.summary.code}\n")

    async def _events(self, request: web.Request) -> web.StreamResponse:
        """Send `changed` whenever the list changes, as server-sent events; the page then fetches the list."""
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        seen = self._store.version
        with suppress(ConnectionResetError):  # the reader has gone
            await response.write(b"retry: 1000\n\n")
            while not self._store.closed:
                if await self._store.changed(seen, HEARTBEAT):
                    seen = self._store.version
                    await response.write(b"event: changed\ndata: %d\n\n" % seen)
                else:
                    await response.write(b": still here\n\n")
        return response

    async def _read(self, request: web.Request) -> bytes:
        content = await self._store.read(request.match_info["id"])
        if content is None:
            raise web.HTTPNotFound(text="This mail is gone.")
        return content

    def _mails(self, to: str | None) -> list[Kept]:
        wanted = None if to is None else to.casefold()
        return [
            mail
            for mail in self._store.mails()
            if wanted is None or wanted in (recipient.casefold() for recipient in mail.summary.recipients)
        ]

    def _with_code(self, to: str | None) -> Kept | None:
        return next((mail for mail in self._mails(to) if mail.summary.code), None)

    def _is_fresh(self, mail: Kept | None) -> bool:
        return mail is not None and self._store.now() - int(mail.id) < FRESH.total_seconds() * 1e9


@web.middleware
async def _own_names_only(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    if not _OWN_NAME.fullmatch(request.headers.get("Host", "")):
        raise web.HTTPForbidden(text="This page answers to 127.0.0.1 and localhost only.\n")
    return await handler(request)


async def _harden(_: web.Request, response: web.StreamResponse) -> None:
    for name, value in _FOR_ALL.items():
        response.headers.setdefault(name, value)


@asynccontextmanager
async def serving_page(store: MailStore, port: int, *, smtp_port: int, host: str = "127.0.0.1") -> AsyncIterator[int]:
    """Serve the page, for browsers that reach it as this machine; return the port."""
    application = MailPage(store, smtp_port=smtp_port).application()
    runner = web.AppRunner(application, access_log=None, handle_signals=False, shutdown_timeout=1.0)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
        yield runner.addresses[0][1]
    finally:
        store.close()  # event streams end by themselves
        await runner.cleanup()
