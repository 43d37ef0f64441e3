"""The plugin: wiring only."""

from galaxy_kernel.api import Context, Manifest, NoSettings


class NotificationPlugin:
    """Notifications to players and operators."""

    manifest = Manifest(name="notification", summary="Notifications to players and operators.")

    def __init__(self, context: Context[NoSettings]) -> None:
        self._context = context
