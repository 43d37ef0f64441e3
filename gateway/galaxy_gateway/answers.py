"""Answers on their way to a client."""

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus

from aiohttp.web import BaseRequest, StreamResponse
from multidict import CIMultiDict

from galaxy_chassis.http.response import SERVER, AnyResponse, RawResponse
from galaxy_gateway import cors
from galaxy_gateway.forwarding import headers as fields
from galaxy_gateway.forwarding.response import BUFFERED, Response

_PHRASES = {status.value: status.phrase for status in HTTPStatus}


@dataclass(slots=True)
class Answer:
    """A whole answer: of the backend, or one that was kept for a repeated call."""

    status: int
    headers: CIMultiDict[str]
    body: bytes

    def response(self, request_id: str, own: Mapping[str, str]) -> RawResponse:
        """Return it as a response, with the gateway's own fields added."""
        cors.add(self.headers, own)
        lines = [f"HTTP/1.1 {self.status} {_PHRASES.get(self.status, '')}", f"Server: {SERVER}"]
        lines += [f"{name}: {value}" for name, value in self.headers.items()]
        return RawResponse(self.status, "\r\n".join(lines) + "\r\n", self.body, request_id)


async def whole(response: Response) -> Answer:
    """Return the backend's answer with all of its body."""
    return Answer(response.status, fields.to_client(response.headers), await response.read())


def is_short(response: Response) -> bool:
    """Return whether an answer is read before it is written, in one piece: else it is streamed."""
    return response.length is not None and response.length <= BUFFERED


async def stream(response: Response, request: BaseRequest, request_id: str, own: Mapping[str, str]) -> AnyResponse:
    """Pass on an answer's body as it comes, no faster than the client reads it. Raise when either side is gone."""
    headers = fields.to_client(response.headers)
    cors.add(headers, own)
    headers["X-Request-Id"], headers["Server"] = request_id, SERVER
    answer = StreamResponse(status=response.status, headers=headers)
    answer.content_length = response.length
    await answer.prepare(request)
    async for chunk in response.pieces():
        await answer.write(chunk)
    await answer.write_eof()
    return answer
