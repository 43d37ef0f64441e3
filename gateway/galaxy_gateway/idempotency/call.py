"""A call that carries a key: who makes it, and what it asks for."""

from dataclasses import dataclass
from hashlib import sha256

from galaxy_gateway.store.names import Names


@dataclass(frozen=True, slots=True)
class Call:
    """An unsafe call with an `Idempotency-Key`."""

    key: str
    method: str
    target: str
    """Path and query, as they are forwarded."""
    account_id: str | None
    """The account that calls; None for a public call, which counts for its address."""
    address: str
    content_type: str
    body: bytes

    @property
    def path(self) -> str:
        """The target without its query."""
        return self.target.partition("?")[0]

    @property
    def fingerprint(self) -> bytes:
        """What two calls under one key must have in common."""
        content_type = self.content_type.encode("utf-8", "surrogateescape")
        return sha256(b"%d:%b" % (len(content_type), content_type) + self.body).digest()

    def name(self, names: Names) -> str:
        """Return the name under which the store knows it: another caller's, or another operation's, is another one."""
        caller = ("address", self.address) if self.account_id is None else ("account", self.account_id)
        return names.of("idempotency", *caller, self.method, self.target, self.key)
