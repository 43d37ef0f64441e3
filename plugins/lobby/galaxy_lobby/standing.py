"""What an account may know of a game, and do with it."""

from uuid import UUID

import msgspec

from galaxy_kernel.api import Problem, not_found
from galaxy_lobby.domain import Game, Membership


class Standing(msgspec.Struct, frozen=True):
    """An account and a game."""

    account_id: UUID
    game: Game
    membership: Membership | None
    """The account's newest part in the game; it may have ended."""
    invited: bool
    """Whether an invitation of it is pending."""

    @property
    def owner(self) -> bool:
        """Whether the account owns the game."""
        return self.game.owner_id == self.account_id

    @property
    def member(self) -> Membership | None:
        """The account's part in the game, unless it has ended."""
        return self.membership if self.membership is not None and self.membership.live else None

    @property
    def visible(self) -> bool:
        """Whether the account may know of the game."""
        if self.owner or self.membership is not None or self.invited:
            return True
        return self.game.visibility == "public" and self.game.state != "draft"

    def check_visible(self) -> None:
        """Return if the account may know of the game. Raise the problem 404."""
        if not self.visible:
            raise not_found("game")

    def check_owner(self) -> None:
        """Return if the account owns the game. Raise the problems 404, and 403 `owner_only`."""
        self.check_visible()
        if not self.owner:
            raise Problem(403, "owner_only", "Only the owner of the game may do this.")
