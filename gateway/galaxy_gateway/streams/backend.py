"""The backend's push service, as this gateway calls it."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import grpc.aio

from galaxy_chassis.errors import BootError
from galaxy_contracts.proto.push_pb2 import (
    DESCRIPTOR,
    Event,
    Frame,
    ReplayRequest,
    ReplayResponse,
    SubscribeRequest,
)
from galaxy_gateway.streams import cursor as cursors
from galaxy_gateway.streams.messages import Message, one_line
from galaxy_gateway.streams.settings import StreamSettings

TOKEN_KEY = "x-gateway-token"  # noqa: S105 # a metadata key, not a token
OPTIONS = (
    (
        "grpc.keepalive_time_ms",
        10_000,
    ),  # as often as a backend allows: one that has silently gone is noticed within 15 s
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.http2.max_pings_without_data", 0),  # else a quiet connection is no longer checked after two pings
    ("grpc.use_local_subchannel_pool", 1),  # each attempt connects at once, whatever the last one's back-off was
    ("grpc.max_receive_message_length", 16 * 1024 * 1024),  # a frame is 64 events of 64 KiB, and their overhead
)
_SERVICE: str = DESCRIPTOR.services_by_name["Push"].full_name


class ProtocolError(Exception):
    """The backend sent what this gateway does not understand."""


class Backend:
    """The push service at one address."""

    def __init__(self, channel: Any, token: str, gateway_id: str) -> None:
        self._gateway_id, self._metadata = gateway_id, ((TOKEN_KEY, token),)
        self._subscribe = channel.unary_stream(
            f"/{_SERVICE}/Subscribe",
            request_serializer=SubscribeRequest.SerializeToString,
            response_deserializer=Frame.FromString,
        )
        self._replay = channel.unary_unary(
            f"/{_SERVICE}/Replay",
            request_serializer=ReplayRequest.SerializeToString,
            response_deserializer=ReplayResponse.FromString,
        )

    def subscribe(self, cursor: str) -> Any:
        """Begin a subscription after a cursor; the call yields frames."""
        request = SubscribeRequest(gateway_id=self._gateway_id, cursor=cursor)
        return self._subscribe(request, metadata=self._metadata)

    async def replay(self, request: ReplayRequest, timeout: float) -> ReplayResponse:
        """Return a page of older events within `timeout` seconds. Raise grpc.aio.AioRpcError."""
        response: ReplayResponse = await self._replay(request, metadata=self._metadata, timeout=timeout)
        return response


@asynccontextmanager
async def connected(
    address: str, token: str, gateway_id: str, credentials: grpc.ChannelCredentials | None
) -> AsyncIterator[Backend]:
    """Yield the service at an address, on a connection of its own."""
    if credentials is None:
        channel = grpc.aio.insecure_channel(address, options=OPTIONS)
    else:
        channel = grpc.aio.secure_channel(address, credentials, options=OPTIONS)
    async with channel:
        yield Backend(channel, token, gateway_id)


def credentials(settings: StreamSettings) -> grpc.ChannelCredentials | None:
    """Return what secures the connections; None where they are in the clear. Raise BootError for an unreadable file."""
    if not settings.backend_tls:
        return None
    if not settings.backend_ca_file:
        return grpc.ssl_channel_credentials()
    try:
        return grpc.ssl_channel_credentials(Path(settings.backend_ca_file).read_bytes())
    except OSError as error:
        raise BootError(
            f"GATEWAY_STREAM_BACKEND_CA_FILE: cannot be read: {error.strerror}; name a PEM file with the authority"
        ) from error


def read_cursor(text: str) -> cursors.Cursor:
    """Return a cursor of the backend's. Raise ProtocolError for one without generation."""
    cursor = cursors.parse(text)
    if cursor is None:
        raise ProtocolError("its cursors have no generation: the backend is older than this gateway, update it first")
    return cursor


def read_events(events: Sequence[Event]) -> list[Message]:
    """Return the events as messages. Raise ProtocolError."""
    return [
        Message(
            read_cursor(event.cursor).number,
            event.cursor,
            event.account_id or event.session_id,
            event.kind,
            one_line(event.payload),
        )
        for event in events
    ]
