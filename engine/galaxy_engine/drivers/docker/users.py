"""Which user an engine runs as: the image's, unless that is root."""

import asyncio
import io
import tarfile

from aiodocker import DockerError

from galaxy_engine.drivers.docker.daemon import Daemon

PASSWD_BYTES = 1024 * 1024


def number(user: str) -> int | None:
    """Return the user's number; None for a name, of which the image decides what it means."""
    name = user.partition(":")[0].strip()
    try:
        return int(name or "0")
    except ValueError:
        return 0 if name == "root" else None


async def is_root(daemon: Daemon, container: str, name: str) -> bool:
    """Whether the name means root in the container, or means nobody as far as can be seen."""
    try:
        params = {"path": "/etc/passwd"}
        async with daemon.stream("GET", f"containers/{container}/archive", params) as archive:
            contents = await archive.read(PASSWD_BYTES)
            while len(contents) < PASSWD_BYTES and (more := await archive.read(PASSWD_BYTES - len(contents))):
                contents += more
    except DockerError as error:
        if error.status == 404:
            return True
        raise daemon.unreachable(error) from error
    return await asyncio.to_thread(_is_root, contents, name.partition(":")[0])


def _is_root(archive: bytes, name: str) -> bool:
    try:
        with tarfile.open(fileobj=io.BytesIO(archive)) as files:
            file = files.extractfile(files.getmembers()[0])  # the file, or a link, which is not followed
            lines = file.read().decode("utf-8", "replace").splitlines() if file else []
    except (tarfile.TarError, IndexError, KeyError):
        return True
    for line in lines:
        fields = line.split(":")
        if fields[0] == name and len(fields) > 2:
            return number(fields[2]) in {0, None}
    return True
