"""The responses of the API, with the headers all of them carry."""

from collections.abc import Mapping

import msgspec
from aiohttp.web import Response
from multidict import CIMultiDict, istr

from galaxy_kernel.problems import Problem

SERVER = "galaxy-backend"
REQUEST_ID = istr("X-Request-Id")

_COMMON = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Server": SERVER}
_JSON = CIMultiDict({"Content-Type": "application/json", **_COMMON})
_PROBLEM = CIMultiDict({"Content-Type": "application/problem+json", **_COMMON})
_HTML = CIMultiDict({"Content-Type": "text/html; charset=utf-8", **_COMMON})
_EMPTY = CIMultiDict(_COMMON)


def json_response(status: int, document: bytes, request_id: str, headers: Mapping[str, str] | None = None) -> Response:
    """Give an answer with a JSON document."""
    return _response(_JSON, status, document, request_id, headers)


def html_response(html: bytes, request_id: str, headers: Mapping[str, str]) -> Response:
    """Give a page."""
    return _response(_HTML, 200, html, request_id, headers)


def empty_response(status: int, request_id: str, headers: Mapping[str, str] | None = None) -> Response:
    """Give an answer without a body, for 204."""
    return _response(_EMPTY, status, None, request_id, headers)


def problem_response(problem: Problem, request_id: str) -> Response:
    """Give the answer that a problem is (RFC 9457)."""
    document = msgspec.json.encode(problem.document(request_id))
    return _response(_PROBLEM, problem.status, document, request_id, problem.headers)


def _response(
    base: CIMultiDict[str], status: int, document: bytes | None, request_id: str, headers: Mapping[str, str] | None
) -> Response:
    complete = base.copy()
    complete[REQUEST_ID] = request_id
    if headers:
        complete.update(headers)
    return Response(body=document, status=status, headers=complete)
