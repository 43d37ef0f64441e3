"""The settings of live events."""

from datetime import timedelta
from typing import Annotated, ClassVar

from annotated_types import Ge, Le
from pydantic import Field

from galaxy_chassis.config.settings import Duration, Settings


class StreamSettings(Settings):
    """How many streams there may be, how slow their clients may be, and how far back one may resume."""

    prefix: ClassVar[str | None] = "GATEWAY_STREAM_"

    heartbeat: Annotated[Duration, Ge(timedelta(seconds=1)), Le(timedelta(minutes=5))] = timedelta(seconds=15)
    """How often an idle stream is written to; a client that is unreachable twice as long is cut off."""
    retry: Annotated[Duration, Ge(timedelta(milliseconds=100)), Le(timedelta(minutes=5))] = timedelta(seconds=3)
    """How long a client of server-sent events waits before it connects again, on average: values differ at random."""
    buffer: int = Field(default=256 * 1024, ge=128 * 1024, le=64 * 1024 * 1024)
    """Bytes that a client may leave unread in the gateway's memory before it is cut off; it resumes with its cursor."""
    per_account: int = Field(default=20, ge=0)
    """Most streams of one account at a time; 0: no limit."""
    per_address: int = Field(default=500, ge=0)
    """Most streams from one address, or one /64 of IPv6, at a time; 0: no limit."""
    total: int = Field(default=30_000, ge=1)
    """Most streams at a time."""
    ring_age: Annotated[Duration, Ge(timedelta(seconds=1)), Le(timedelta(hours=24))] = timedelta(minutes=5)
    """How long events are kept in memory for clients that resume; older ones are read from the backend."""
    ring_events: int = Field(default=100_000, ge=1)
    """Most events kept in memory."""
    ring_bytes: int = Field(default=64 * 1024 * 1024, ge=1024 * 1024)
    """Most bytes of events kept in memory."""
    replays: int = Field(default=8, ge=1, le=256)
    """Reads of older events from the backend at a time."""
    backend_tls: bool = False
    """Whether the backend's push listener is reached by TLS."""
    backend_ca_file: str = ""
    """File of the authority that signed the push listener's certificate (PEM); empty: those that gRPC trusts."""
