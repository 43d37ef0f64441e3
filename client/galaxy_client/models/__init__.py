"""What the server answers, as types."""

from galaxy_client.models.accounts import Account, Challenge, Revoked, Session, SignedIn
from galaxy_client.models.base import Page
from galaxy_client.models.engines import EngineVersion, Players
from galaxy_client.models.games import Game, GameSummary, Invitation, MadeInvitation, Operation, Schedule, Seat
from galaxy_client.models.notifications import Notification, NotificationRoute, ReadCount
from galaxy_client.models.orders import Options, OrderFault, Orders, Receipt, Report, Turn, Verdict

__all__ = [
    "Account",
    "Challenge",
    "EngineVersion",
    "Game",
    "GameSummary",
    "Invitation",
    "MadeInvitation",
    "Notification",
    "NotificationRoute",
    "Operation",
    "Options",
    "OrderFault",
    "Orders",
    "Page",
    "Players",
    "ReadCount",
    "Receipt",
    "Report",
    "Revoked",
    "Schedule",
    "Seat",
    "Session",
    "SignedIn",
    "Turn",
    "Verdict",
]
