"""The daemon behind the proxy: asked by it, or on behalf of a caller, whose answer is passed on as it comes.

Every request to the daemon is one that the proxy wrote. Nothing of a caller's head reaches it but a registry login.
"""

import contextlib
import json
from collections.abc import AsyncIterator, Mapping
from typing import Any, Self
from urllib.parse import urlsplit

import aiohttp
from aiohttp import web

from galaxy_engine.proxy.policy import Json, RefusedError

_ENDLESS = aiohttp.ClientTimeout(total=None, sock_connect=10)
"""Callers have time limits of their own, and leave when these are over."""


class Upstream:
    """Requests to a daemon at `unix:///path` or `tcp://host:port`, in the API version that it prefers."""

    def __init__(self, address: str) -> None:
        parts = urlsplit(address)
        self._address, self._parts = address, parts
        self._base = "http://docker" if parts.scheme == "unix" else f"http://{parts.netloc}"
        self._session: aiohttp.ClientSession

    async def __aenter__(self) -> Self:
        unix = self._parts.scheme == "unix"
        connector = aiohttp.UnixConnector(self._parts.path, limit=0) if unix else aiohttp.TCPConnector(limit=0)
        self._session = aiohttp.ClientSession(connector=connector, timeout=_ENDLESS, auto_decompress=False)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def find(self, path: str, params: Mapping[str, str] | None = None) -> Any:
        """Return what the daemon has there as JSON, None if nothing. Raise `RefusedError` (502) if it does not say."""
        async with self._request("GET", path, params or {}, None, {}) as answer:
            if answer.status == 404:
                return None
            if answer.status != 200:
                raise RefusedError(f"the Docker daemon answers {answer.status}: {await answer.text()}", 502)
            return await answer.json(content_type=None)

    @contextlib.asynccontextmanager
    async def _request(
        self, method: str, path: str, params: Mapping[str, str], body: Json | None, headers: Mapping[str, str]
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        data = None if body is None else json.dumps(body).encode()
        kind = {} if body is None else {"Content-Type": "application/json"}
        try:
            request = self._session.request(
                method, self._base + path, params=params, data=data, headers={**headers, **kind}, allow_redirects=False
            )
            answer = await request
        except (aiohttp.ClientError, OSError) as error:
            raise RefusedError(f"the Docker daemon at {self._address} does not answer: {error}", 502) from error
        async with answer:
            yield answer

    async def relay(
        self,
        request: web.BaseRequest,
        method: str,
        path: str,
        params: Mapping[str, str] | None = None,
        body: Json | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> web.StreamResponse:
        """Answer the caller with what the daemon answers, as it comes.

        An answer that breaks off breaks off for the caller too. When the caller leaves, the daemon's answer is closed.
        """
        async with self._request(method, path, params or {}, body, headers or {}) as answer:
            response = web.StreamResponse(status=answer.status)
            if "Content-Type" in answer.headers:
                response.headers["Content-Type"] = answer.headers["Content-Type"]
            if answer.content_length is not None:
                response.content_length = answer.content_length
            await response.prepare(request)
            try:
                async for piece in answer.content.iter_any():
                    await response.write(piece)
            except (aiohttp.ClientError, OSError):
                if request.transport is not None:
                    request.transport.abort()
                raise
            await response.write_eof()
            return response
