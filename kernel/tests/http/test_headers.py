"""The headers as the description names them: their patterns hold what RFCs and the gateway accept."""

import re
from typing import Any

import pytest

from galaxy_kernel.http import headers


def fits(name: str, value: str) -> bool:
    described: dict[str, Any] = (headers.SENT | headers.ANSWERED)[name]["schema"]
    length = described.get("minLength", 0) <= len(value) <= described.get("maxLength", 10_000)
    return length and re.search(described["pattern"], value) is not None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Idempotency-Key", "8e03978e-40d5-43e8-bc93-6894a57f9324"),
        ("Idempotency-Key", '"in quotes, with \\" and \\\\"'),
        ("Idempotency-Key", "a b"),
        ("If-Match", '"3"'),
        ("If-None-Match", 'W/"a1", "b2"'),
        ("ETag", 'W/"a1"'),
        ("ETag", '"3"'),
    ],
)
def test_accepted(name: str, value: str) -> None:
    """What the service takes or says fits the description."""
    assert fits(name, value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("Idempotency-Key", value) for value in ("", '""', '"open', " padded ", "ä", "k" * 256, "a\nb")),
        *(("If-Match", value) for value in ("3", '"x"', '"3", "4"')),
        *(("If-None-Match", value) for value in ("a1", '"a b"')),
    ],
)
def test_refused(name: str, value: str) -> None:
    """What no client need send does not fit it."""
    assert not fits(name, value)


def test_references_lead_to_components() -> None:
    """Whatever an operation refers to is among the components."""
    components = headers.components()
    for reference in (*headers.answered(*headers.ANSWERED).values(), *headers.sent(*headers.SENT)):
        _, _, kind, name = reference["$ref"].split("/")
        assert name in components[kind]
    assert set(headers.SENT) | set(headers.ANSWERED) > headers.DECLARED
