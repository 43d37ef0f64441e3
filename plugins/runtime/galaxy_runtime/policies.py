"""Turn policies: the registry, and `fixed`, which runs the turn at its deadline whoever has sent orders (SPEC R-13)."""

from typing import ClassVar

from pydantic import BaseModel, ConfigDict

from galaxy_contracts.turns import Decision, Run, Situation, TurnPolicy


class NoOptions(BaseModel):
    """The options of a policy that has none."""

    model_config = ConfigDict(extra="forbid")


class Fixed:
    """Run at the deadline. A seat that sent nothing is absent; a vacant one is so too, a machine never."""

    name: ClassVar[str] = "fixed"
    options: ClassVar[type[BaseModel]] = NoOptions

    def decide(self, situation: Situation) -> Decision:
        """Return `Run`, always."""
        return Run(tuple(seat.seat for seat in situation.seats if not seat.sent and not seat.machine))


class Policies:
    """The policies that games may name: `TurnPolicies` of the contract."""

    def __init__(self) -> None:
        self._policies: dict[str, TurnPolicy] = {}
        self.register(Fixed())

    def register(self, policy: TurnPolicy) -> None:
        """Make a policy known. Raise ValueError for a name given twice."""
        if policy.name in self._policies:
            raise ValueError(f"the turn policy {policy.name!r} is registered twice: rename one")
        self._policies[policy.name] = policy

    def find(self, name: str) -> TurnPolicy | None:
        """Return the policy of that name."""
        return self._policies.get(name)

    def names(self) -> tuple[str, ...]:
        """Return every name, in order of registration."""
        return tuple(self._policies)
