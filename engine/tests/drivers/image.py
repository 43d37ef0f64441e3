"""The test engine as images: a static busybox, the script, and nothing else. Nothing is pulled for them."""

import hashlib
import io
import shutil
import subprocess
import tarfile
from collections.abc import Collection
from pathlib import Path
from typing import Any

import aiodocker

SCRIPT = Path(__file__).with_name("engine.sh")
PASSWD = "root:x:0:0::/:/bin/sh\ntoor:x:0:0::/:/bin/sh\nplayer:x:1234:1234::/:/bin/sh\n"
VARIANTS = {
    "engine": ['CMD ["/engine"]', "USER 1000:1000"],
    "root": ['CMD ["/engine"]'],
    "zero": ['CMD ["/engine"]', "USER 0:1000"],
    "named": ['CMD ["/engine"]', "USER player"],
    "toor": ['CMD ["/engine"]', "USER toor"],
    "unknown": ['CMD ["/engine"]', "USER stranger"],
    "volume": ['CMD ["/engine"]', "USER 1000", "VOLUME /data"],
    "broken": ['CMD ["/missing"]', "USER 1000"],
    "foreign": ['CMD ["/foreign"]', "USER 1000"],
}


def busybox() -> str | None:
    """Return the path of a static busybox, None where there is none."""
    path = shutil.which("busybox")
    return path if path and b"/ld-linux" not in Path(path).read_bytes()[:4096] else None  # PT_INTERP names a loader


def root(busybox: str, *, extra: bytes = b"") -> bytes:
    """Return the root file system as a tar. `extra` makes another image of it."""
    applets = subprocess.run([busybox, "--list"], capture_output=True, text=True, check=True).stdout.split()
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for folder in ("bin", "etc", "tmp", "data"):
            _add(tar, folder, None)
        _add(tar, "bin/busybox", Path(busybox).read_bytes())
        for applet in applets:
            if applet != "busybox":
                link = tarfile.TarInfo(f"bin/{applet}")
                link.type, link.linkname = tarfile.SYMTYPE, "busybox"
                tar.addfile(link)
        _add(tar, "engine", SCRIPT.read_bytes())
        _add(tar, "foreign", b"\x7fELF\x02\x01\x01" + bytes(120))
        _add(tar, "etc/passwd", PASSWD.encode())
        _add(tar, "etc/extra", extra)
    return archive.getvalue()


def _add(tar: tarfile.TarFile, name: str, contents: bytes | None) -> None:
    info = tarfile.TarInfo(name)
    info.mode = 0o1777 if name in {"tmp", "data"} else 0o755
    if contents is None:
        info.type = tarfile.DIRTYPE
        tar.addfile(info)
    else:
        info.size = len(contents)
        tar.addfile(info, io.BytesIO(contents))


async def make(docker: aiodocker.Docker, tar: bytes, reference: str, changes: list[str]) -> None:
    """Make an image of a root file system unless it is there."""
    repository, _, tag = reference.rpartition(":")
    params: dict[str, Any] = {"fromSrc": "-", "repo": repository, "tag": tag, "changes": "\n".join(changes)}
    headers = {"Content-Type": "application/x-tar"}
    async with docker._query("images/create", "POST", params=params, data=io.BytesIO(tar), headers=headers) as answer:
        assert b"error" not in await answer.read()


async def make_all(host: str, busybox: str, variants: Collection[str] = VARIANTS) -> dict[str, str]:
    """Make the variants, named by their contents, and return the references."""
    tar = root(busybox)
    references = {}
    async with aiodocker.Docker(host) as docker:
        for variant, changes in VARIANTS.items():
            if variant not in variants:
                continue
            digest = hashlib.sha256(tar + repr(changes).encode()).hexdigest()[:12]
            references[variant] = reference = f"galaxy-test/{variant}:{digest}"
            try:
                await docker.images.inspect(reference)
            except aiodocker.DockerError:
                await make(docker, tar, reference, changes)
    return references
