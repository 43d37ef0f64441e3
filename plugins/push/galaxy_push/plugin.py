"""The plugin: wiring only."""

from galaxy_kernel.api import Context, Manifest, NoSettings


class PushPlugin:
    """Live events to gateways over gRPC."""

    manifest = Manifest(name="push", summary="Live events to gateways over gRPC.")

    def __init__(self, context: Context[NoSettings]) -> None:
        self._context = context
