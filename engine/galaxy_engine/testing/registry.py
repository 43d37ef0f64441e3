"""A registry of images on the loopback, which Docker asks without TLS: Debian's `docker-registry`."""

import contextlib
import socket
import subprocess
from pathlib import Path

from galaxy_engine.drivers.process.ports import free_port

PROGRAM = "docker-registry"
CONFIG = """
version: 0.1
log: {level: error}
storage: {filesystem: {rootdirectory: %s}, delete: {enabled: true}}
http: {addr: "127.0.0.1:%d"}
"""


def start(program: str, folder: Path, *, users: str = "") -> tuple[subprocess.Popen[bytes], int]:
    """Start the registry and wait until it listens. Return it with its port. `users`: lines of htpasswd."""
    port = free_port(())
    config = folder / "registry.yml"
    text = CONFIG % (folder / "images", port)
    if users:
        (folder / "users").write_text(users)
        text += f"auth: {{htpasswd: {{realm: galaxy, path: {folder / 'users'}}}}}\n"
    config.write_text(text)
    with (folder / "registry.log").open("wb") as log:
        process = subprocess.Popen([program, "serve", str(config)], stdout=log, stderr=log)  # noqa: S603
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return process, port
        if process.poll() is not None:
            raise RuntimeError((folder / "registry.log").read_text())
