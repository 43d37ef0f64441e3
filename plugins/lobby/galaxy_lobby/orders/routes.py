"""The HTTP operations of orders and reports (SPEC R-9)."""

from collections.abc import Sequence
from typing import Annotated, Any
from uuid import UUID

import msgspec
from pydantic import Field

from galaxy_contracts.runtime import StoredOrders, Submission, Trigger
from galaxy_kernel.api import Access, Call, Model, Page, Paging, RawJson, Response, Route, Timestamp, invalid
from galaxy_lobby.domain import to_json
from galaxy_lobby.games.routes import MISSING, ONE
from galaxy_lobby.headers import TAGGED, expected_revision, immutable
from galaxy_lobby.orders.service import OrderService

MAX_ORDERS = 10_000
MAX_BODY = 256 * 1024
"""Bytes of a set of orders, as the engine contract limits it."""
_MAX_TURN = 2**31 - 1

Turn = Annotated[int, Field(ge=0, le=_MAX_TURN)]


class OrderSet(Model):
    """A seat's orders for a turn, as the engine's `order_schema` has them."""

    turn: Turn
    """The current one: orders for another are refused."""
    orders: list[Any] = Field(max_length=MAX_ORDERS)


class OrdersToKeep(OrderSet):
    """Orders that take the place of the seat's former ones. They count at the deadline, final or not."""

    final: bool = False
    """Whether nobody need wait for more."""


class OrderReceipt(Model):
    """That the engine accepted a set, and that it is kept."""

    accepted: bool = True
    turn: int
    revision: int
    final: bool


class OrdersView(Model):
    """A seat's orders for the current turn."""

    turn: int
    orders: list[Any]
    final: bool
    revision: int
    """0: none were sent."""
    submitted_at: Timestamp | None


class TurnView(Model):
    """A position, and the turn that made it."""

    turn: int
    trigger: Trigger
    due_at: Timestamp | None
    made_at: Timestamp
    phase: str | None
    absent: Sequence[int]
    """Seats without orders."""
    eliminated: Sequence[int]
    finished: bool


def routes(orders: OrderService) -> Sequence[Route]:
    """Return the routes."""
    return (*_order_routes(orders), *_report_routes(orders))


def _order_routes(orders: OrderService) -> Sequence[Route]:
    async def put(call: Call, game_id: UUID, body: OrdersToKeep) -> Response[OrderReceipt]:
        """Replaces the seat's earlier set for the current turn, once the engine has accepted it; refused orders are
        named by `orders.<index>` in `errors`, and the earlier set stands. Accepted orders are committed. Final ones
        need not be waited for. With `If-Match`, only where the stored set has that revision.
        """
        submission = Submission(
            turn=body.turn,
            orders=_raw(body.orders),
            final=body.final,
            account_id=call.user.account_id,
            expected_revision=expected_revision(call.headers),
        )
        receipt = await orders.put(call.user.account_id, game_id, submission)
        answer = OrderReceipt(turn=receipt.turn, revision=receipt.revision, final=receipt.final)
        return Response(answer, headers=_etag(receipt.revision))

    async def show(call: Call, game_id: UUID) -> Response[OrdersView]:
        """With the revision, as `ETag`, for `If-Match` when sending orders. Revision 0 means that none were sent."""
        turn, stored = await orders.stored(call.user.account_id, game_id)
        view = _view(turn, stored)
        return Response(view, headers=_etag(view.revision))

    async def options(call: Call, game_id: UUID) -> RawJson:
        """As the engine puts it, for your seat and the current turn. Needs its capability `options`."""
        return RawJson(await orders.options(call.user.account_id, game_id))

    async def validate(call: Call, game_id: UUID, body: OrderSet) -> RawJson:
        """Nothing is kept. The answer is the engine's. Needs its capability `validate`."""
        return RawJson(await orders.validate(call.user.account_id, game_id, body.turn, _raw(body.orders)))

    user, path = Access.USER, f"{ONE}/orders"
    stopped = (MISSING, "409 game_not_running", "409 game_ended", "409 not_playing")
    asked = (*stopped, "503 engine_waking")
    puts = (*asked, "409 turn_over", "409 turn_running", "412 orders_changed", "422 orders_refused")
    return (
        Route(
            "PUT",
            path,
            put,
            "lobby.put_orders",
            "Send your orders.",
            user,
            errors=puts,
            max_body=MAX_BODY,
            headers=("If-Match", "ETag"),
        ),
        Route(
            "GET",
            path,
            show,
            "lobby.orders",
            "Show the orders you have sent for this turn.",
            user,
            errors=stopped,
            headers=("ETag",),
        ),
        Route("GET", f"{path}/options", options, "lobby.options", "Ask what you may order.", user, errors=asked),
        Route(
            "POST",
            f"{path}/validate",
            validate,
            "lobby.validate",
            "Ask what the engine says of orders, without sending them.",
            user,
            errors=asked,
            max_body=MAX_BODY,
        ),
    )


def _report_routes(orders: OrderService) -> Sequence[Route]:
    async def turns(call: Call, game_id: UUID, query: Paging) -> Page[TurnView]:
        """Each with what made it: the trigger, the deadline, and who was absent."""
        found, total = await orders.turns(call.user.account_id, game_id, query)
        return query.page_of([TurnView.of(each) for each in found], total)

    async def report(call: Call, game_id: UUID, turn: Turn) -> Response[RawJson]:
        """A JSON document of the engine's, and yours alone. It never changes, so it may be cached for good. Reading it
        marks it as read.
        """
        return immutable(call, await orders.report(call.user.account_id, game_id, turn))

    async def public(call: Call, game_id: UUID, turn: Turn) -> Response[RawJson]:
        """A JSON document of the engine's. It never changes, so it may be cached for good."""
        return immutable(call, await orders.public_report(call.user.account_id, game_id, turn))

    user, path, one = Access.USER, f"{ONE}/turns", f"{ONE}/turns/{{turn}}"
    missing, summary = (MISSING,), "Show what everybody may know of a position."
    return (
        Route("GET", path, turns, "lobby.turns", "List a game's positions, the newest first.", user, errors=missing),
        Route(
            "GET",
            f"{one}/report",
            report,
            "lobby.report",
            "Show your report on a position.",
            user,
            errors=missing,
            headers=TAGGED,
        ),
        Route("GET", f"{one}/public", public, "lobby.public_report", summary, user, errors=missing, headers=TAGGED),
    )


def _raw(orders: Sequence[Any]) -> tuple[msgspec.Raw, ...]:
    """Return orders as the JSON that the engine gets. Raise the problem 422."""
    try:
        return tuple(msgspec.Raw(to_json(order)) for order in orders)
    except ValueError as error:
        raise invalid("orders", str(error)) from None


def _view(turn: int, stored: StoredOrders | None) -> OrdersView:
    if stored is None:
        return OrdersView(turn=turn, orders=[], final=False, revision=0, submitted_at=None)
    return OrdersView(
        turn=stored.turn,
        orders=msgspec.json.decode(stored.orders),
        final=stored.final,
        revision=stored.revision,
        submitted_at=stored.submitted_at,
    )


def _etag(revision: int) -> dict[str, str]:
    return {"ETag": f'"{revision}"', "Cache-Control": "private, no-cache"}
