"""Live events for clients (SPEC W-3), fed by one subscription to a backend (SPEC P-1 to P-4).

In the order in which an event passes: `subscription` reads it from the backend; `hub` keeps it in the `ring` and writes
it to the streams of its account or session; each is a `stream`, opened by `sse` or `websocket`. A client that returns
with a cursor is brought up to date by `resume`, from the ring or by `Push/Replay`.
"""

from galaxy_gateway.streams.metrics import Metrics
from galaxy_gateway.streams.settings import StreamSettings
from galaxy_gateway.streams.streams import Streams

__all__ = ["Metrics", "StreamSettings", "Streams"]
