"""The plugin: wiring only."""

from galaxy_kernel.api import Context, Manifest, NoSettings


class AdminChannelPlugin:
    """Notifications to operators by e-mail, with a switch."""

    manifest = Manifest(name="adminchannel", summary="Notifications to operators by e-mail, with a switch.")

    def __init__(self, context: Context[NoSettings]) -> None:
        self._context = context
