"""The answers of an operation, as the description lists them."""

from typing import Any

import pytest

from galaxy_devkit.testing.http import make_route
from galaxy_kernel.http.answers import responses
from galaxy_kernel.http.call import Html
from galaxy_kernel.http.model import Model
from galaxy_kernel.http.route import Access, Route
from galaxy_kernel.http.signature import read_signature


class Thing(Model):
    name: str


async def show() -> Thing: ...


async def change(body: Thing) -> None: ...


def described(route: Route) -> dict[str, Any]:
    signature = read_signature("demo", route)
    return responses(route, signature, None if signature.answer is None else {"$ref": "#/components/schemas/Thing"})


def codes(answer: dict[str, Any]) -> list[str]:
    found: list[str] = answer["content"]["application/problem+json"]["schema"]["properties"]["code"]["enum"]
    return found


def test_a_problem_is_one_class_with_its_codes_beside_it() -> None:
    """A reference that generators follow, and a status and codes for those who validate."""
    answer = described(make_route(show, path="/api/v1/public/thing", errors=("409 taken",)))["409"]
    assert answer["content"]["application/problem+json"]["schema"] == {
        "$ref": "#/components/schemas/Problem",
        "properties": {"status": {"const": 409}, "code": {"enum": ["taken"]}},
    }
    assert answer["description"] == "Conflict: `taken`"


@pytest.mark.parametrize("access", Access)
def test_what_passes_a_gateway_has_its_answers(access: Access) -> None:
    """Operations of players may be answered by the gateway, others not."""
    passes = access in (Access.PUBLIC, Access.USER)
    found = described(make_route(change, "PUT", f"/api/v1/{access}/thing", access=access))
    assert ("504" in found, "429" in found, "409" in found) == (passes, passes, passes)
    assert ("limits_unavailable" in codes(found["503"])) is passes
    assert ("Idempotency-Replayed" in found["204"]["headers"]) is passes


def test_reads_need_no_key() -> None:
    """The answers about idempotency keys are those of changes alone."""
    found = described(make_route(show, path="/api/v1/user/thing", access=Access.USER))
    assert "409" not in found
    assert "Idempotency-Replayed" not in found["200"]["headers"]
    assert codes(found["503"])[-1] == "backend_unreachable"


def test_answers_that_pass_say_when_to_ask_again() -> None:
    """Retry-After stands wherever trying again helps, and the challenge at 401."""
    found = described(make_route(change, "PUT", "/api/v1/user/thing", access=Access.USER))
    having = {status for status, answer in found.items() if "Retry-After" in answer["headers"]}
    assert having == {"409", "429", "502", "503", "504"}
    assert "WWW-Authenticate" in found["401"]["headers"]
    assert all("X-Request-Id" in answer["headers"] for answer in found.values())


def test_a_page_may_have_other_statuses() -> None:
    """It is described with each, beside the problems of that status."""

    async def page() -> Html: ...

    found = described(make_route(page, path="/api/v1/public/page", statuses=(404, 409), errors=("409 taken",)))
    assert list(found["404"]["content"]) == ["text/html"]
    assert found["404"]["description"] == "Not Found"
    assert list(found["409"]["content"]) == ["text/html", "application/problem+json"]
