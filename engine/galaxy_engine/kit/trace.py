"""What a check did, to be shown as curl lines that can be pasted."""

import shlex
from pathlib import Path

import msgspec

_INLINE = 2000
"""Bytes of a body that are written into the line itself."""
_LINES = 60


class Call(msgspec.Struct, frozen=True):
    """One call: what was sent, and in a word what came."""

    engine: str
    """The shell variable that stands for the engine's address."""
    method: str
    path: str
    body: tuple[bytes | memoryview, ...]
    authorized: bool
    came: str


class Trace:
    """The calls since the beginning of an experiment."""

    def __init__(self, files: Path | None = None) -> None:
        self._calls: list[Call] = []
        self._files = files
        self._written = 0

    def restart(self) -> None:
        """Forget what was done: what follows does not depend on it."""
        self._calls.clear()

    def add(self, call: Call) -> None:
        """Note a call."""
        self._calls.append(call)

    def curl(self, name: str) -> tuple[str, ...]:
        """Return the calls as curl lines; large bodies are written to files whose names begin with `name`."""
        left_out = len(self._calls) - _LINES
        lines = [f"# {left_out} earlier calls are left out"] if left_out > 0 else []
        return (*lines, *(self._line(call, name) for call in self._calls[-_LINES:]))

    def _line(self, call: Call, name: str) -> str:
        words = ["curl -sS"]
        if call.method != "GET":
            words.append(f"-X {call.method}")
        words.append(f'"${call.engine}{call.path}"')
        if call.authorized:
            words.append('-H "Authorization: Bearer $GALAXY_TOKEN"')
        if call.body:
            words.append("-H 'Content-Type: application/json' --data-binary")
            words.append(self._body(b"".join(call.body), name))
        return f"{' '.join(words)}  # {call.came}"

    def _body(self, body: bytes, name: str) -> str:
        if len(body) <= _INLINE:
            return shlex.quote(body.decode("utf-8", "backslashreplace"))
        if self._files is None:
            return f"'{body[:200].decode('utf-8', 'replace')}…' ({len(body)} bytes)"
        self._written += 1
        file = self._files / f"{name}-{self._written}.json"
        self._files.mkdir(parents=True, exist_ok=True)
        file.write_bytes(body)
        return shlex.quote(f"@{file}")
