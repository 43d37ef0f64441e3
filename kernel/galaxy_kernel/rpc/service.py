"""One gRPC service, as plugins contribute it."""

from collections.abc import Callable
from dataclasses import dataclass

import grpc.aio


@dataclass(frozen=True, slots=True)
class RpcService:
    """One gRPC service on the kernel's listener, which checks the gateway's token on every call."""

    name: str
    """Full name, `galaxy.push.v1.Push`: for health and reflection."""
    add: Callable[[grpc.aio.Server], None]
    """Adds the servicer: the generated `add_…_to_server` with the servicer bound."""
