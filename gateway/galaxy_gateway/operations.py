"""The operations that are seen in logs and metrics: as many as the API has, whatever paths strangers invent."""

from dataclasses import dataclass

from galaxy_gateway.forwarding.targets import Target

MOST = 1_000


@dataclass(frozen=True, slots=True)
class Operation:
    """A method and a path's template, as `HttpTelemetry` names them."""

    name: str
    method: str
    path: str


OTHER = Operation("other", "other", "other")
"""Whatever no backend has carried out yet."""


class Operations:
    """Those that a backend has carried out."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], Operation] = {}

    def known(self, method: str, target: Target) -> Operation:
        """Return the operation of a request; `OTHER` for one that is not known to exist."""
        return self._known.get((method, target.template), OTHER)

    def note(self, method: str, target: Target, status: int) -> None:
        """Note how a backend answered an operation."""
        if not 200 <= status < 300:
            return  # a stranger may have invented it
        path = target.template
        if (method, path) not in self._known and len(self._known) < MOST:
            self._known[method, path] = Operation(f"{method} {path}", method, path)
