"""Reading a request's body within its limit."""

from aiohttp import HttpVersion11
from aiohttp.web import BaseRequest, RequestPayloadError

from galaxy_chassis.http.problems import Problem


async def read(request: BaseRequest, limit: int) -> bytes:
    """Return the body, at most `limit` bytes of it.

    Raise the problems 413 `body_too_large`, before reading where the length is announced; 415 for a body that is
    compressed; 417 for an expectation other than `100-continue` (RFC 9110, 10.1.1).
    """
    if not request.body_exists:
        return b""
    announced = request.content_length
    if announced is not None and announced > limit:
        raise _too_large(limit)
    headers = request.headers
    if headers.get("Content-Encoding", "identity").lower() != "identity":
        raise Problem(415, "unsupported_media_type", "The body must not be compressed: leave out Content-Encoding.")
    if "Expect" in headers:
        await _continue(request)
    chunks, size = [], 0
    content = request.content
    try:
        while chunk := await content.readany():
            size += len(chunk)
            if size > limit:
                raise _too_large(limit)
            chunks.append(chunk)
    except RequestPayloadError:
        raise Problem(400, "malformed_request", "The body is not framed as HTTP/1.1 demands.") from None
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def _too_large(limit: int) -> Problem:
    return Problem(413, "body_too_large", f"The body is larger than this operation takes: {limit} bytes.")


async def _continue(request: BaseRequest) -> None:
    if request.headers["Expect"].lower() != "100-continue":
        raise Problem(417, "expectation_failed", "The only expectation this service meets is 100-continue.")
    if request.version >= HttpVersion11:
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0  # the final answer has not begun
