"""The plugin: wiring only."""

from galaxy_kernel.api import Context, Manifest, NoSettings


class GeoPlugin:
    """Countries of players, from a GeoIP database."""

    manifest = Manifest(name="geo", summary="Countries of players, from a GeoIP database.")

    def __init__(self, context: Context[NoSettings]) -> None:
        self._context = context
