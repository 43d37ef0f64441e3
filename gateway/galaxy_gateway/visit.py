"""One request, as far as it is understood."""

from dataclasses import dataclass, field

from aiohttp.web import BaseRequest
from multidict import istr

from galaxy_chassis.request_context import RequestContext
from galaxy_gateway.callers import Caller
from galaxy_gateway.forwarding.targets import Target

ORIGIN = istr("Origin")


@dataclass(slots=True)
class Visit:
    """A client's request and what was found out about it."""

    request: BaseRequest
    context: RequestContext
    address: str
    """The client's."""
    target: Target | None = None
    token: str | None = None
    by_cookie: bool = False
    """Whether the token came in a cookie, which browsers attach by themselves."""
    caller: Caller | None = None
    fields: dict[str, str] = field(default_factory=dict)
    """What the gateway adds to the answer, whatever that is."""

    @property
    def account_id(self) -> str | None:
        """The account that calls, where it is known."""
        return None if self.caller is None else self.caller.account_id
