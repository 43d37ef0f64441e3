"""The operators' routes: their shapes, and that no body is in them."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from galaxy_devkit.testing.http import OPERATOR_AUTH, serving
from galaxy_kernel.api import Access, new_id
from galaxy_mail.routes import AttemptView, DeliveryView, routes
from galaxy_mail.service import Deliveries


@pytest.fixture
async def ask(rig: Any) -> AsyncIterator[Any]:
    """Return a function that makes a request as an operator; `ask.api` is the server."""
    async with serving(routes(rig.deliveries), plugin="mail") as api:

        async def ask(method: str, path: str) -> Any:
            return await api(
                method, f"/api/v1/admin/mail/{path}", headers=OPERATOR_AUTH | {"Content-Type": "application/json"}
            )

        ask.api = api  # type: ignore[attr-defined]
        yield ask


def test_routes_are_described_without_a_service() -> None:
    """The routes can be described without a running kernel, and all of them are for operators."""
    nothing: Any = object()
    described = routes(Deliveries(nothing))
    assert {(route.method, route.path) for route in described} == {
        ("GET", "/api/v1/admin/mail/deliveries"),
        ("GET", "/api/v1/admin/mail/deliveries/{delivery_id}"),
        ("GET", "/api/v1/admin/mail/deliveries/{delivery_id}/attempts"),
        ("GET", "/api/v1/admin/mail/dead-letters"),
        ("POST", "/api/v1/admin/mail/deliveries/{delivery_id}/resend"),
    }
    assert {route.access for route in described} == {Access.ADMIN}


def test_shapes() -> None:
    """Deliveries and attempts have exactly the fields of SPEC M-9: there is no field for a body."""
    assert list(DeliveryView.model_fields) == [
        *("id", "kind", "recipient", "state", "attempts", "created_at", "next_attempt_at", "sent_at"),
        *("expires_at", "last_error", "message_id", "request_id"),
    ]
    assert list(AttemptView.model_fields) == [
        *("attempt_no", "started_at", "finished_at", "outcome", "smtp_code", "detail"),
    ]


async def test_a_delivery_and_its_attempts(rig: Any, ask: Any, relay: Any, transport_to: Any) -> None:
    """A sent mail is shown with its times, its attempts with the relay's answer."""
    delivery = await rig.enqueue()
    await rig.deliverer(transport_to(relay.port)).run()
    shown = (await ask("GET", f"deliveries/{delivery}")).json
    assert (shown["state"], shown["attempts"], shown["next_attempt_at"]) == ("sent", 1, None)
    assert shown["sent_at"] is not None and shown["sent_at"] >= shown["created_at"]
    [attempt] = (await ask("GET", f"deliveries/{delivery}/attempts")).json["items"]
    assert (attempt["attempt_no"], attempt["outcome"], attempt["smtp_code"]) == (1, "sent", 250)
    assert (await ask("GET", "deliveries?state=sent")).json["total"] == 1
    assert (await ask("GET", "dead-letters")).json["items"] == []


async def test_over_http(rig: Any, ask: Any) -> None:
    """Over a socket: paths, filters, problems, and the resend in the audit log."""
    delivery, sent = await rig.enqueue(), await rig.enqueue_code()
    async with rig.database.transaction() as connection:
        await connection.exec_driver_sql(f"UPDATE mail_deliveries SET state = 'sent' WHERE id = '{sent}'")
    listed = await ask("GET", "deliveries?page=1&state=pending&kind=test.welcome&recipient=ADA%40example.test")
    assert listed.status == 200 and [item["id"] for item in listed.json["items"]] == [str(delivery)]
    assert b"Hello" not in listed.body and b"MIME" not in listed.body
    assert (await ask("GET", f"deliveries/{delivery}")).json["message_id"] == f"<{delivery}@example.test>"
    assert (await ask("GET", f"deliveries/{delivery}/attempts")).json["items"] == []
    assert (await ask("GET", "dead-letters")).json["total"] == 0
    assert (await ask("GET", f"deliveries/{new_id()}")).json["code"] == "not_found"
    assert (await ask("GET", "deliveries?state=lost")).status in (400, 422)
    assert (await ask("POST", f"deliveries/{delivery}/resend")).json["state"] == "pending"
    refused = await ask("POST", f"deliveries/{sent}/resend")
    assert (refused.status, refused.json["code"]) == (409, "mail_already_sent")
    assert ("begin", "olga", "mail.resend_delivery") in [line[:3] for line in ask.api.audit.lines]


async def test_pages(rig: Any, ask: Any) -> None:
    """Lists are pages of `{items, page, page_size, total}`."""
    ids = [await rig.enqueue() for _ in range(3)]
    page = (await ask("GET", "deliveries?page=2&page_size=2")).json
    assert [item["id"] for item in page["items"]] == [str(ids[0])]
    assert (page["page"], page["page_size"], page["total"]) == (2, 2, 3)


async def test_resend_answers_with_the_delivery(rig: Any, ask: Any) -> None:
    """A resend answers with the delivery as it is now."""
    delivery = await rig.enqueue()
    assert (await ask("POST", f"deliveries/{delivery}/resend")).json["state"] == "pending"
