"""Counting a request under its policies, and the fields of its answer.

The fields are those of draft-ietf-httpapi-ratelimit-headers-10: `RateLimit-Policy` lists the policies of the request,
`RateLimit` what is left of each (`r`) and in how many seconds one more unit is (`t`). All policies are counted in one
round trip, and a request that one of them refuses is counted by none.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache, partial

from galaxy_chassis.http.problems import Problem, throttled
from galaxy_gateway.limits.metrics import LimitMetrics
from galaxy_gateway.limits.policies import Policy
from galaxy_gateway.store.errors import StoreUnavailableError
from galaxy_gateway.store.memory import MemoryStore
from galaxy_gateway.store.names import Names
from galaxy_gateway.store.store import Demand, Spending, Store
from galaxy_gateway.unavailable import limits_unavailable

_MICROSECONDS = 1_000_000
_REMEMBERED = 8_192
"""Names of clients that are not computed again for each request; the one not used for longest is dropped."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a request may go on, and what its answer says about it."""

    allowed: bool
    fields: Mapping[str, str]
    """`RateLimit` and `RateLimit-Policy`, for every answer to the request, whoever writes it."""
    retry_after: float = 0.0
    """Seconds after which the same request is allowed, if no other comes; 0 when it is allowed now."""
    refused_by: Policy | None = None
    """The policy that makes it wait longest."""

    def problem(self) -> Problem:
        """Return the answer to a request that is refused."""
        if self.refused_by is None:
            raise ValueError("the request is allowed: there is nothing to answer yet")
        policy = self.refused_by
        detail = f"The limit {policy.name!r} is {policy.quota} in {policy.window} s, and nothing of it is left."
        problem = throttled(detail, self.retry_after)
        problem.headers.update(self.fields)
        return problem


class Limits:
    """The rate limits of one gateway, counted in the store that all gateways share."""

    def __init__(self, store: Store, local: MemoryStore, names: Names, metrics: LimitMetrics) -> None:
        """Count in `store`, and in `local` what is only read while the store is away."""
        self._store, self._local, self._metrics = store, local, metrics
        self._demand = lru_cache(maxsize=_REMEMBERED)(partial(_demand, names))

    async def check(self, keys: Mapping[Policy, str], *, unsafe: bool) -> Verdict:
        """Count a request under its policies, each with the name of the client for whom it counts.

        Raise the problem 503 `limits_unavailable` for an unsafe request while the store is away; a safe one is then
        counted by this gateway alone.
        """
        if not keys:
            return Verdict(True, {})
        demands = list(map(self._demand, keys, keys.values()))
        verdict = _verdict(tuple(keys), await self._spend(demands, unsafe=unsafe))
        if verdict.refused_by is not None:
            self._metrics.refused(verdict.refused_by.name)
        return verdict

    async def _spend(self, demands: list[Demand], *, unsafe: bool) -> Spending:
        try:
            return await self._store.spend(demands)
        except StoreUnavailableError:
            if unsafe:
                self._metrics.unavailable()
                raise limits_unavailable() from None
        self._metrics.limited_locally()
        return await self._local.spend(demands)


def _demand(names: Names, policy: Policy, key: str) -> Demand:
    """Return what one request of a client demands of a policy."""
    return policy.demand(names.of("limit", policy.name, key))


def _verdict(policies: tuple[Policy, ...], spending: Spending) -> Verdict:
    debts = spending.debts
    fields = {
        "RateLimit-Policy": _described(policies),
        "RateLimit": ", ".join(map(_left, policies, debts)),
    }
    if spending.allowed:
        return Verdict(True, fields)
    waits = {policy: policy.wait(debt) for policy, debt in zip(policies, debts, strict=True) if not policy.left(debt)}
    longest = max(waits, key=lambda policy: waits[policy])
    return Verdict(False, fields, waits[longest] / _MICROSECONDS, longest)


@lru_cache(maxsize=64)
def _described(policies: tuple[Policy, ...]) -> str:
    return ", ".join(f'"{policy.name}";q={policy.quota};w={policy.window}' for policy in policies)


def _left(policy: Policy, debt: int) -> str:
    return f'"{policy.name}";r={policy.left(debt)};t={-(-policy.wait(debt) // _MICROSECONDS)}'
