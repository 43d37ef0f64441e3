"""The owner of the games, which hands itself over in its lifespan."""

from galaxy_contracts.runtime import GameTable


class ObservingTable:
    """Holds the one `GameTable`."""

    def __init__(self) -> None:
        self._table: GameTable | None = None

    def observe(self, table: GameTable) -> None:
        """Keep the owner of the games. Raise ValueError at the second call."""
        if self._table is not None:
            raise ValueError("the owner of the games is known already: one plugin owns them")
        self._table = table

    @property
    def owner(self) -> GameTable:
        """Who owns the games. Raise RuntimeError where no plugin does: then there are none."""
        if self._table is None:
            raise RuntimeError("no plugin owns games: install galaxy-backend-lobby, and enable it")
        return self._table

    @property
    def plugin(self) -> str:
        """The package of the plugin that owns the games, for messages about its failures."""
        return type(self.owner).__module__.partition(".")[0]
