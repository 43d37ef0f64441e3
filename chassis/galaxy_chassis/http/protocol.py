"""aiohttp's low-level server, with problem documents for what is not even HTTP."""

import logging
from typing import Any

from aiohttp.web import BaseRequest, RequestHandler, Server

from galaxy_chassis.http.problems import Problem
from galaxy_chassis.http.response import RawResponse, problem_response
from galaxy_chassis.request_context import new_request_id

_log = logging.getLogger("galaxy_kernel.http")


class Connection(RequestHandler):
    """One client connection. What aiohttp could not parse is answered 400; the bytes are not logged."""

    __slots__ = ()

    def handle_error(  # type: ignore[override] # a RawResponse is all that aiohttp's connection needs of a response
        self,
        request: BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002 # it quotes what was sent
    ) -> RawResponse:
        if request.writer.output_size > 0:
            raise ConnectionError("the answer has begun: the connection can only be closed")
        if status < 500:
            problem = Problem(
                400, "malformed_request", "The request is not well-formed HTTP/1.1, or its head is too long."
            )
        else:
            _log.error("response_write_failed", exc_info=exc)
            problem = Problem(status, "internal", "The answer could not be written.")
        response = problem_response(problem, new_request_id())
        response.force_close()
        return response


class ConnectionFactory(Server):
    """Makes a Connection for each client."""

    def __init__(self, handler: Any, *, keepalive_timeout: float) -> None:
        super().__init__(handler, handler_cancellation=True)
        self._keepalive_timeout = keepalive_timeout

    def __call__(self) -> RequestHandler:
        return Connection(
            self,
            loop=self._loop,
            keepalive_timeout=self._keepalive_timeout,
            access_log=None,  # type: ignore[arg-type] # None switches it off; ours is written in server
            auto_decompress=False,
        )
