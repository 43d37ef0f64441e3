"""The drawings of `docs/ARCHITECTURE.md` as SVG, written down as text: who is in them, and what goes from whom to whom.

They are pictures rather than scripts in the page, so that a page shows them without a network, in any viewer.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple
from xml.sax.saxutils import escape

_STYLE = (
    "text{font:14px system-ui,sans-serif;fill:#1f2937}.small{font-size:12px;fill:#4b5563}.bold{font-weight:600}"
    ".box{fill:#eef2ff;stroke:#6366f1}.deep{fill:#e0f2fe;stroke:#0284c7}.ground{fill:#f1f5f9;stroke:#64748b}"
    ".line{stroke:#94a3b8;stroke-dasharray:4 4}.arrow{stroke:#334155;stroke-width:1.5;marker-end:url(#tip)}"
    ".commit{fill:#fef3c7;stroke:#d97706}"
)
_TIP = (
    '<defs><marker id="tip" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" markerHeight="7" orient="auto">'
    '<path d="M0 0L10 5L0 10z" fill="#334155"/></marker></defs>'
)


class Step(NamedTuple):
    """Something that goes from one to another; from one to itself, it is done there."""

    source: str
    target: str
    text: str


class Commit(NamedTuple):
    """A transaction of somebody's ends, and with it what was acknowledged is kept."""

    at: str
    text: str


REQUEST = (
    ("Client", "Gateway", "Redis", "Backend", "Postgres"),
    (
        Step("Client", "Gateway", "PUT …/orders, Idempotency-Key"),
        Step("Gateway", "Backend", "introspect the token, at most twice a minute"),
        Step("Gateway", "Redis", "count it; claim its key"),
        Step("Gateway", "Backend", "the call, with headers that only the gateway sets"),
        Step("Backend", "Backend", "access from memory, body checked"),
        Step("Backend", "Postgres", "statements of one transaction"),
        Commit("Postgres", "COMMIT"),
        Step("Backend", "Backend", "caches, wake-ups"),
        Step("Backend", "Gateway", "answer"),
        Step("Gateway", "Redis", "keep the answer for a repeated call"),
        Step("Gateway", "Client", "answer"),
    ),
)
MAIL = (
    ("auth", "mail", "Postgres", "mail.deliver", "Relay"),
    (
        Step("auth", "Postgres", "the challenge's row"),
        Step("auth", "mail", "enqueue(connection, message)"),
        Step("mail", "Postgres", "the delivery's row: bytes and Message-ID are fixed"),
        Commit("Postgres", "COMMIT: both or neither"),
        Step("Postgres", "mail.deliver", "woken; else it looks by itself"),
        Step("mail.deliver", "Postgres", "claim a set: lease, attempt"),
        Commit("Postgres", "COMMIT: a dead worker's lease runs out"),
        Step("mail.deliver", "Relay", "the same bytes at every attempt"),
        Step("Relay", "mail.deliver", "250, or not yet, or never"),
        Step("mail.deliver", "Postgres", "results in one set, fenced by the lease"),
        Commit("Postgres", "COMMIT: sent, retrying or dead_lettered"),
    ),
)
TURN = (
    ("Postgres", "runtime", "Engine", "lobby", "notification"),
    (
        Step("runtime", "Postgres", "claim what is due: orders close"),
        Commit("Postgres", "COMMIT: the claim is a lease"),
        Step("runtime", "Postgres", "read position and orders"),
        Step("runtime", "Engine", "load the state, post orders, run the turn"),
        Step("Engine", "runtime", "the next position, reports by seat"),
        Step("runtime", "Postgres", "turn, reports, next tick, fenced by the claim"),
        Step("runtime", "lobby", "positions_made, on the same connection"),
        Step("lobby", "notification", "submit, on the same connection"),
        Commit("Postgres", "COMMIT: all of it or nothing"),
        Step("notification", "Postgres", "routes become push events and mails"),
    ),
)
HOUSE = (
    ("Players", "box", ("web: the page", "client: Python, galaxy", "any HTTP client")),
    ("Edge", "deep", ("gateway: TLS, limits, repeated calls, live events",)),
    ("Plugins", "box", ("user", "auth", "admin", "mail", "notification", "adminchannel")),
    ("", "box", ("push", "geo", "engineversion", "runtime", "lobby", "yours")),
    ("Kernel", "deep", ("core: the life of plugins", "http", "rpc", "caches", "queue", "workers", "database")),
    (
        "Ground",
        "ground",
        ("chassis: configuration, logs, health", "contracts", "migrations", "engine: contract, drivers"),
    ),
    ("Outside", "ground", ("Postgres: all state", "Redis: of gateways", "SMTP relay", "engines: one a game")),
)


def drawings() -> dict[str, str]:
    """Return the drawings, by the names of their files."""
    return {
        "house.svg": house(HOUSE),
        "request.svg": sequence(*REQUEST),
        "mail.svg": sequence(*MAIL),
        "turn.svg": sequence(*TURN),
    }


def house(floors: Sequence[tuple[str, str, Sequence[str]]]) -> str:
    """Return a drawing of floors that stand on each other: a label, a colour, and rooms."""
    width, left, tall = 980, 90, 44
    parts = []
    for number, (label, colour, rooms) in enumerate(floors):
        top = 12 + number * (tall + 12)
        parts.append(_text(12, top + tall / 2 + 5, label, "bold", "start"))
        sizes = [len(room) + 6 for room in rooms]
        x, space = float(left), width - left - 12 - 8 * (len(rooms) - 1)
        for room, size in zip(rooms, sizes, strict=True):
            wide = space * size / sum(sizes)
            parts += [_box(x, top, wide, tall, colour), _text(x + wide / 2, top + tall / 2 + 4, room, "small")]
            x += wide + 8
    return _svg(width, 12 + len(floors) * (tall + 12), parts)


def sequence(actors: Sequence[str], steps: Sequence[Step | Commit]) -> str:
    """Return a drawing of steps between actors, from the top to the bottom."""
    gap, row, head = 250, 40, 70
    at = {actor: 90 + gap * number for number, actor in enumerate(actors)}
    height = head + row * len(steps) + 20
    parts = []
    for actor, x in at.items():
        parts.append(f'<line class="line" x1="{x}" y1="46" x2="{x}" y2="{height - 10}"/>')
        parts += [_box(x - 70, 12, 140, 34, "box"), _text(x, 34, actor, "bold")]
    for number, step in enumerate(steps):
        parts += _step(step, at, head + row * number + 14)
    return _svg(180 + gap * (len(actors) - 1), height, parts)


def _step(step: Step | Commit, at: dict[str, int], y: float) -> Iterator[str]:
    if isinstance(step, Commit):
        yield from _note(at[step.at], y, step.text, "commit", at)
    elif step.source == step.target:
        yield from _note(at[step.source], y, step.text, "ground", at)
    else:
        start, end = at[step.source], at[step.target]
        aside = 4 if end > start else -4
        yield f'<line class="arrow" x1="{start + aside}" y1="{y + 8}" x2="{end - aside}" y2="{y + 8}"/>'
        yield from _label((start + end) / 2, y + 2, step.text)


def _label(x: float, y: float, text: str) -> Iterator[str]:
    wide = 6.3 * len(text) + 8
    yield f'<rect x="{x - wide / 2:g}" y="{y - 12:g}" width="{wide:g}" height="15" fill="#fff" opacity="0.85"/>'
    yield _text(x, y, text, "small")


def _note(x: float, y: float, text: str, colour: str, at: dict[str, int]) -> Iterator[str]:
    """Draw a note on an actor's line, moved so far that it stays in the picture."""
    wide = 6.5 * len(text) + 16
    x = min(max(x, wide / 2 + 6), 174 + max(at.values()) - 90 - wide / 2)
    yield _box(x - wide / 2, y - 12, wide, 26, colour)
    yield _text(x, y + 5, text, "small")


def _box(x: float, y: float, width: float, height: float, colour: str) -> str:
    return f'<rect class="{colour}" x="{x:.1f}" y="{y:g}" width="{width:.1f}" height="{height:g}" rx="6"/>'


def _text(x: float, y: float, text: str, kind: str, anchor: str = "middle") -> str:
    return f'<text class="{kind}" x="{x:g}" y="{y:g}" text-anchor="{anchor}">{escape(text)}</text>'


def _svg(width: float, height: float, parts: Sequence[str]) -> str:
    size = f'width="{width:g}" height="{height:g}" viewBox="0 0 {width:g} {height:g}"'
    background = '<rect width="100%" height="100%" fill="#fff"/>'
    lines = [f'<svg xmlns="http://www.w3.org/2000/svg" {size}>', f"<style>{_STYLE}</style>", _TIP, background, *parts]
    return "\n".join([*lines, "</svg>"]) + "\n"
