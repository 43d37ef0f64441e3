"""Reads the entry points of what is installed. The metadata of any distribution may be damaged, ours or not."""

from typing import Any

from importlib_metadata import EntryPoint, distributions, entry_points

from galaxy_kernel.errors import PluginError


def installed_entry_points(group: str) -> list[EntryPoint]:
    """Return the entry points of a group. Raise PluginError, which names the folder whose metadata cannot be read."""
    try:
        return list(entry_points(group=group))
    except Exception as error:  # whatever the damage leads to: there is no one error for it
        for distribution in distributions():
            damage = _damage(distribution)
            if damage is not None:
                folder = getattr(distribution, "_path", "a folder that cannot be named")
                raise PluginError(
                    f"the metadata of an installed distribution cannot be read: {folder} "
                    f"({type(damage).__name__}: {damage}): remove that folder, or install its distribution again"
                ) from error
        raise


def _damage(distribution: Any) -> Exception | None:
    try:
        _ = distribution.metadata["Name"], distribution.name, list(distribution.entry_points)
    except Exception as error:
        return error
    return None
