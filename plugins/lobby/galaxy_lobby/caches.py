"""Games that have not ended and who plays them, in memory."""

from uuid import UUID

from galaxy_kernel.api import Cache
from galaxy_lobby.domain import ENDED, LIVE, Game, Membership
from galaxy_lobby.tables import games, memberships

_BY_OWNER, _BY_GAME, _BY_ACCOUNT = "owner", "game", "account"


class Memory:
    """The caches `lobby.games` and `lobby.memberships`, and the questions that are asked of them."""

    def __init__(self) -> None:
        self.games = Cache(
            name="lobby.games",
            table=games,
            row=Game,
            key=lambda game: game.id,
            where=games.c.state.not_in(ENDED),
            indexes={_BY_OWNER: lambda game: game.owner_id},
        )
        self.memberships = Cache(
            name="lobby.memberships",
            table=memberships,
            row=Membership,
            key=lambda membership: membership.id,
            where=memberships.c.state.in_(LIVE),
            indexes={_BY_GAME: lambda each: each.game_id, _BY_ACCOUNT: lambda each: each.account_id},
        )

    def members(self, game_id: UUID) -> list[Membership]:
        """Return who is in a game, by seat, before the start in the order in which they came."""
        return in_order(self.memberships.find(_BY_GAME, game_id))

    def member(self, game_id: UUID, account_id: UUID) -> Membership | None:
        """Return a player's part in a game."""
        found = (each for each in self.memberships.find(_BY_GAME, game_id) if each.account_id == account_id)
        return next(found, None)

    def games_of(self, account_id: UUID) -> list[tuple[Game, Membership | None]]:
        """Return the games that a player owns or is in, the newest first."""
        mine = {each.game_id: each for each in self.memberships.find(_BY_ACCOUNT, account_id)}
        owned = {game.id: game for game in self.games.find(_BY_OWNER, account_id)}
        joined = {game_id: game for game_id in mine if (game := self.games.get(game_id)) is not None}
        found = sorted({**owned, **joined}.items(), reverse=True)
        return [(game, mine.get(game_id)) for game_id, game in found]


def in_order(members: list[Membership]) -> list[Membership]:
    """Return memberships by seat; before seats are dealt, in the order in which they came."""
    return sorted(members, key=lambda each: (each.seat or 0, each.joined_at, each.id))
