"""The log of a sign-in by a real process, and what it must never contain (SPEC K-8)."""

import asyncio
import json
import re
from typing import Any

import aiohttp
from full_backend import Mailbox, Served
from sqlalchemy import text

from galaxy_kernel.database import Database, make_engine, schema_of

ADDRESS = "Somebody.Special@example.test"


async def sign_in(client: aiohttp.ClientSession, mailbox: Mailbox) -> tuple[str, str, str]:
    """Sign in, with a wrong code and a bad token on the way; return code, token and the first request's id."""
    auth = "/api/v1/public/auth"
    async with client.post(f"{auth}/send-email-code", json={"email": ADDRESS}) as response:
        challenge, request_id = await response.json(), response.headers["X-Request-Id"]
    code = await mailbox.code_to(ADDRESS)
    body = {"challenge_id": challenge["challenge_id"], "code": code}
    await client.post(f"{auth}/confirm-email-code", json={**body, "code": f"{(int(code) + 1) % 10**8:08d}"})
    async with client.post(f"{auth}/confirm-email-code", json=body) as response:
        token = (await response.json())["session_token"]
    for bearer in (token, f"{token}x"):
        await client.get("/api/v1/user/account", headers={"Authorization": f"Bearer {bearer}"})
    await client.get(f"/api/v1/admin/users?email={ADDRESS}", headers={"Authorization": "Basic cm9vdDpodW50ZXIy"})
    return code, token, request_id


async def mail_row(dsn: str) -> Any:
    database = Database(make_engine(dsn), schema_of(dsn))
    try:
        async with database.reading() as connection:
            return (await connection.execute(text("SELECT request_id, state FROM mail_deliveries"))).one()
    finally:
        await database.close()


async def test_log_of_a_sign_in(empty_database: str, mailbox: Mailbox, mail_environment: dict[str, str]) -> None:
    """One request id goes from the request to the mail's row and its worker; no line holds address, code or token."""
    environment = {**mail_environment, "BACKEND_LOG_LEVEL": "debug"}
    async with Served(empty_database, environment) as served:
        async with aiohttp.ClientSession(served.url) as client:
            code, token, request_id = await sign_in(client, mailbox)
        async with asyncio.timeout(10):
            while (row := await mail_row(empty_database)).state != "sent":
                await asyncio.sleep(0.05)
        assert row.request_id == request_id
    said = json.dumps(served.lines)
    assert not [
        secret for secret in (ADDRESS, ADDRESS.lower(), code, token, "hunter2", "cm9vdDpodW50ZXIy") if secret in said
    ]
    requests = [line for line in served.lines if line["event"] == "request"]
    assert len(requests) == 6
    for line in requests:
        assert re.fullmatch(r"[0-9a-f-]{36}", line["request_id"])
        assert re.fullmatch(r"[0-9a-f]{32}", line["otel_trace_id"])
        assert "otel_span_id" in line
    assert [line["plugin"] for line in requests] == ["auth", "auth", "auth", "user", "user", "user"]
    assert requests[0]["request_id"] == request_id
    (sent,) = (line for line in served.lines if line["event"] == "mail_attempt")
    assert (sent["request_id"], sent["plugin"], sent["outcome"]) == (request_id, "mail", "sent")
    of_requests = {line["request_id"] for line in requests}
    inside = [line for line in served.lines if line["request_id"] in of_requests or line["event"] == "mail_attempt"]
    for line in inside:
        assert line["plugin"]
        assert re.fullmatch(r"[0-9a-f]{32}", line["otel_trace_id"]), line
