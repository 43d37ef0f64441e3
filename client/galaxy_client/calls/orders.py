"""Orders, what the engine says of them, and reports."""

from collections.abc import Sequence
from typing import Any

from galaxy_client.calls.base import Calls, Id
from galaxy_client.calls.games import one
from galaxy_client.errors import ConflictError
from galaxy_client.models.base import Page
from galaxy_client.models.games import Game
from galaxy_client.models.orders import Options, Orders, Receipt, Report, Turn, Verdict


class OrderCalls(Calls):
    """Orders, what the engine says of them, and reports."""

    async def orders(self, game: Id) -> Orders:
        """Show the orders you have sent for the current turn."""
        return await self._get(Orders, one(game, "orders"))

    async def send(
        self,
        game: Id,
        orders: Sequence[Any],
        final: bool = False,
        if_match: int | None = None,
        *,
        turn: int | None = None,
    ) -> Receipt:
        """Send orders in the place of your former ones. They count at the deadline, final or not.

        Without `turn` they are for the current one, which is asked for first: name it where the orders were thought out
        for a certain position, so that they are refused (409 `turn_over`) once that has passed. `if_match` is the
        revision that they replace; another one is 412 `orders_changed`. Raise InvalidError `orders_refused` with the
        engine's words by `orders.<index>`.
        """
        chosen = (await self.orders(game)).turn if turn is None else turn
        body = {"turn": chosen, "orders": orders, "final": final}
        try:
            return await self._do(Receipt, "PUT", one(game, "orders"), body, if_match=if_match)
        except ConflictError as error:
            kept = await self._kept(game, error, chosen, orders, final)
            if kept is None or if_match is None or kept.revision != if_match + 1:
                raise
            return Receipt(turn=kept.turn, revision=kept.revision, final=kept.final)

    async def _kept(
        self, game: Id, error: ConflictError, turn: int, orders: Sequence[Any], final: bool
    ) -> Orders | None:
        """Return the stored set where it is the one whose answer was lost: it changed the revision itself."""
        if not error.uncertain or error.code != "orders_changed":
            return None
        stored = await self.orders(game)
        return stored if (stored.turn, stored.orders, stored.final) == (turn, list(orders), final) else None

    async def validate(self, game: Id, orders: Sequence[Any], *, turn: int | None = None) -> Verdict:
        """Ask what the engine says of orders, without sending them. Raise ConflictError `validate_unsupported`."""
        chosen = (await self.orders(game)).turn if turn is None else turn
        return await self._do(Verdict, "POST", one(game, "orders/validate"), {"turn": chosen, "orders": orders})

    async def options(self, game: Id) -> Options:
        """Ask what you may order. Raise ConflictError `options_unsupported`."""
        return await self._get(Options, one(game, "orders/options"))

    async def report(self, game: Id, turn: int | None = None) -> Report:
        """Return your report on a position, by default the last one."""
        return await self._get(Report, one(game, f"turns/{await self._turn(game, turn)}/report"))

    async def public_report(self, game: Id, turn: int | None = None) -> Report:
        """Return what everybody may know of a position, by default the last one."""
        return await self._get(Report, one(game, f"turns/{await self._turn(game, turn)}/public"))

    async def turns(self, game: Id, *, page: int = 1, page_size: int = 50) -> Page[Turn]:
        """List a game's positions, the newest first."""
        return await self._get(Page[Turn], one(game, "turns"), page=page, page_size=page_size)

    async def _turn(self, game: Id, turn: int | None) -> int:
        """Return a turn's number; of a game that has not started, 0, of which there is no report yet."""
        return (await self._get(Game, one(game))).turn or 0 if turn is None else turn
