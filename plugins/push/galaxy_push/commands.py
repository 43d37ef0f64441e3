"""Commands under `backend push`: subscribe as a gateway does."""

import asyncio
import json
import sys
from typing import Annotated

import grpc
import grpc.aio
import typer

from galaxy_contracts.proto.push_pb2 import Event, Frame, SubscribeRequest
from galaxy_push.rpc import SERVICE

_GATEWAY = "backend-push-listen"
"""Its gateway id in the backend's log."""


def commands() -> typer.Typer:
    """Return the commands."""
    app = typer.Typer(help="Live events.", no_args_is_help=True)

    @app.callback()
    def group() -> None:
        """Live events."""

    @app.command("listen")
    def listen(
        address: Annotated[
            str, typer.Option(envvar="BACKEND_PUSH_LISTEN_ADDR", help="Where the backend's gRPC listener is.")
        ] = "127.0.0.1:8081",
        token: Annotated[str, typer.Option(envvar="BACKEND_GATEWAY_TOKEN", help="The gateway's token.")] = "",
        cursor: Annotated[str, typer.Option(help="Begin after this event; by default with the next one.")] = "",
        count: Annotated[int, typer.Option(min=0, help="End after so many events; 0: never.")] = 0,
    ) -> None:
        """Subscribe as a gateway does, and print each event as a line of JSON."""
        try:
            asyncio.run(_listen(address, token, cursor, count))
        except grpc.aio.AioRpcError as error:
            sys.stderr.write(f"backend push listen: {address}: {error.code().name}: {error.details()}\n")
            raise typer.Exit(1) from None

    return app


async def _listen(address: str, token: str, cursor: str, count: int) -> None:
    async with grpc.aio.insecure_channel(address) as channel:
        subscribe = channel.unary_stream(
            f"/{SERVICE}/Subscribe",
            request_serializer=SubscribeRequest.SerializeToString,
            response_deserializer=Frame.FromString,
        )
        request = SubscribeRequest(gateway_id=_GATEWAY, cursor=cursor)
        heard = 0
        async for frame in subscribe(request, metadata=(("x-gateway-token", token),)):
            if frame.HasField("opening"):
                resync = ", and events before it may have been missed" if frame.opening.resync_required else ""
                sys.stderr.write(f"listening after cursor {frame.opening.cursor}{resync}\n")
            for event in frame.events:
                sys.stdout.write(f"{json.dumps(_shown(event))}\n")
                heard += 1
                if heard == count:
                    return
            sys.stdout.flush()


def _shown(event: Event) -> dict[str, object]:
    target = event.WhichOneof("target")
    return {
        "cursor": event.cursor,
        target: getattr(event, target),
        "kind": event.kind,
        "payload": json.loads(event.payload),
        "request_id": event.request_id,
    }
