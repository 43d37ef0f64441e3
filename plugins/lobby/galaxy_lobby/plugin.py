"""The plugin: wiring only."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from galaxy_contracts.accounts import ACCOUNTS
from galaxy_contracts.engines import ENGINE_VERSIONS
from galaxy_contracts.mail import OUTBOX
from galaxy_contracts.notification import NOTIFICATIONS
from galaxy_contracts.runtime import RUNTIME
from galaxy_kernel.api import Cache, Context, Manifest, Migrations, Offer, Route, Subscriptions, Worker
from galaxy_lobby import events
from galaxy_lobby.caches import Memory
from galaxy_lobby.deletions.service import DeletionService
from galaxy_lobby.dev.examples import FIRST_GAME
from galaxy_lobby.games import routes as game_routes
from galaxy_lobby.games.reading import GameReader
from galaxy_lobby.games.service import GameService
from galaxy_lobby.invitations import routes as invitation_routes
from galaxy_lobby.invitations import workers
from galaxy_lobby.invitations.service import InvitationService
from galaxy_lobby.memberships import routes as membership_routes
from galaxy_lobby.memberships.service import MembershipService
from galaxy_lobby.notices import INVITATION_MAIL, KINDS, Notices
from galaxy_lobby.orders import routes as order_routes
from galaxy_lobby.orders.service import OrderService
from galaxy_lobby.positions.service import PositionService
from galaxy_lobby.settings import LobbySettings
from galaxy_lobby.spectators import routes as spectator_routes
from galaxy_lobby.spectators.service import SpectatorService
from galaxy_lobby.store import GameStore
from galaxy_lobby.tables import metadata
from galaxy_lobby.transitions import routes as transition_routes
from galaxy_lobby.transitions.service import TransitionService


class LobbyPlugin:
    """Games and who plays them."""

    manifest = Manifest(
        name="lobby",
        summary="Games: who plays them, how they live, what players are told.",
        settings=LobbySettings,
        requires=(ACCOUNTS, ENGINE_VERSIONS, NOTIFICATIONS, OUTBOX, RUNTIME),
        examples=FIRST_GAME,
    )

    def __init__(self, context: Context[LobbySettings]) -> None:
        self._context, self._memory = context, Memory()
        store, told = GameStore(context, self._memory), Notices(context)
        self._reader, self._games = GameReader(context, store), GameService(context, store)
        self._members = MembershipService(context, store, told)
        self._invitations = InvitationService(context, store, self._members, told)
        self._transitions = TransitionService(context, store, self._members, told)
        self._deletions = DeletionService(context, store, self._members, self._transitions, self._invitations)
        self._positions = PositionService(context, store, told)
        self._orders, self._spectators = OrderService(context, store), SpectatorService(context, store)

    def backend_migrations(self) -> Migrations:
        return Migrations("galaxy_lobby.migrations", metadata)

    @asynccontextmanager
    async def backend_lifespan(self) -> AsyncIterator[Sequence[Offer[Any]]]:
        notifications = self._context.require(NOTIFICATIONS)
        for kind in KINDS:
            notifications.register(kind)
        self._context.require(OUTBOX).register(INVITATION_MAIL)
        self._context.require(ENGINE_VERSIONS).register_user(self._games)
        self._context.require(RUNTIME).observe(self._positions)
        yield ()

    def backend_caches(self) -> Sequence[Cache[Any, Any]]:
        return (self._memory.games, self._memory.memberships)

    def backend_routes(self) -> Sequence[Route]:
        return (
            *game_routes.routes(self._games, self._reader),
            *transition_routes.routes(self._transitions, self._reader),
            *membership_routes.routes(self._members, self._reader),
            *invitation_routes.routes(self._invitations, self._reader),
            *order_routes.routes(self._orders),
            *spectator_routes.routes(self._spectators),
        )

    def backend_workers(self) -> Sequence[Worker]:
        return workers.workers(self._invitations)

    def backend_subscriptions(self) -> Subscriptions:
        return events.subscriptions(self._deletions)
