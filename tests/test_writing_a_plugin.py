"""`docs/writing-a-plugin.md` works to the letter: its blocks of code are a plugin that is built, tested and served."""

import asyncio
import importlib
import json
import re
import shlex
import shutil
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import aiohttp
import pytest
from english import in_markdown, in_python
from full_backend import Mailbox
from sqlalchemy import text
from structlog.testing import capture_logs
from wheels import ROOT, install, run, serving

from galaxy_chassis.config.loading import describe
from galaxy_contracts.accounts import ACCOUNTS, Registration
from galaxy_devkit.testing import Boot
from galaxy_kernel.api import LeaseLostError, SupersededError, Term
from galaxy_mail.plugin import MailPlugin
from galaxy_notification.plugin import NotificationPlugin
from galaxy_user.plugin import UserPlugin

DOCUMENT = (ROOT / "docs/writing-a-plugin.md").read_text("utf-8")
BLOCK = re.compile(r'(?ms)^```(?P<language>\w+) title="(?P<title>[^"\n]+)"\n(?P<code>.*?)^```$')
SHELL = {found["title"]: found["code"].splitlines() for found in BLOCK.finditer(DOCUMENT) if found["language"] == "sh"}
FILES = {found["title"]: found["code"] for found in BLOCK.finditer(DOCUMENT) if found["language"] != "sh"}
BESIDE = ("contracts", "migrations", "chassis", "kernel", "devkit")
"""The distributions that a plugin and its tests stand on."""


def extract(folder: Path) -> Path:
    """Write every file that the document shows, and nothing else."""
    for title, code in FILES.items():
        path = folder / title
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(code, "utf-8")
    return folder


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Any]]:
    """Return a function that imports a module which the document shows."""
    monkeypatch.syspath_prepend(str(extract(tmp_path)))
    yield importlib.import_module
    for name in [name for name in sys.modules if name.partition(".")[0] in ("examples", "galaxy_notes")]:
        del sys.modules[name]


@pytest.fixture
def examples(load: Callable[[str], Any]) -> Callable[[str], Any]:
    """Return a function that imports a module of the document's examples."""
    return lambda name: load(f"examples.{name}")


def test_every_block_is_a_file_or_commands() -> None:
    """No block of code is without a title, and no two have one: what follows covers all of them."""
    fences = re.findall(r"(?m)^\s*(?:```|~~~)", DOCUMENT)
    found = [found["title"] for found in BLOCK.finditer(DOCUMENT)]
    assert len(fences) == 2 * len(found)
    assert len(set(found)) == len(found) == len(SHELL) + len(FILES)


def test_the_command_writes_what_the_document_shows(tmp_path: Path) -> None:
    """The commands of the first block make the files of the others, those of the examples apart."""
    command, into = SHELL["write it"]
    assert (shlex.split(command)[0], into) == ("backend", "cd notes")
    run(Path(sys.executable).parent / "backend", *shlex.split(command)[1:], cwd=tmp_path)
    folder = tmp_path / "notes"
    written = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    shown = {title: code for title, code in FILES.items() if not title.startswith("examples/")}
    assert {path: file.read_text("utf-8") for path, file in written.items()} == shown


def test_its_readme_has_its_settings(load: Callable[[str], Any]) -> None:
    """The table, which has the marks of `make docs`, is true to the code."""
    _, _, marked = FILES["README.md"].partition("<!-- settings -->\n")
    rows = marked.partition("<!-- /settings -->")[0].splitlines()
    assert rows[2:] == [
        f"| `{each.name}` | {each.type} | `{each.default}` | {each.doc} |"
        for each in describe("notes", load("galaxy_notes.settings").NotesSettings)
    ]


@pytest.mark.slow
async def test_the_document_is_a_plugin(tmp_path: Path, empty_database: str) -> None:
    """Its files alone are built and installed beside kernel and devkit; its checks pass, and a backend serves it."""
    folder = await asyncio.to_thread(extract, tmp_path / "notes")
    python = await asyncio.to_thread(install, tmp_path, [*(ROOT / each for each in BESIDE), folder])
    (python.parent / "ruff").symlink_to(shutil.which("ruff", path=str(Path(sys.executable).parent)) or "")
    for check in (*SHELL["check it"], "python -m mypy --strict examples"):
        await asyncio.to_thread(run, python, *shlex.split(check)[1:], cwd=folder)
    backend = python.parent / "backend"
    listed = json.loads(await asyncio.to_thread(run, backend, "plugins", "--json"))
    assert [(row["name"], row["state"]) for row in listed] == [("notes", "enabled")]
    assert "Entries that players keep." in await asyncio.to_thread(run, backend, "--help")
    await asyncio.to_thread(run, backend, "new-plugin", "other", "--into", tmp_path)  # from the wheel's templates
    assert {path.name for path in (tmp_path / "other").iterdir()} >= {"pyproject.toml", "galaxy_other", "tests"}
    async with serving(python, empty_database) as line, aiohttp.ClientSession(f"http://{line['address']}") as client:
        async with client.get("/api/v1/public/notes") as response:
            assert (response.status, await response.json()) == (200, {"entries": 0})
        async with client.get("/api/v1/user/notes") as response:
            assert (response.status, (await response.json())["code"]) == (403, "access_closed")
        async with client.get("/readyz") as response:
            assert ("notes", "entries") in {
                (each["plugin"], each["name"]) for each in (await response.json())["checks"]
            }
    forget = (backend, "notes", "forget", str(uuid4()))
    assert await asyncio.to_thread(lambda: run(*forget, BACKEND_POSTGRES_DSN=empty_database)) == "0\n"


async def test_a_service_is_offered_and_required(examples: Any, boot: Boot) -> None:
    """The plugin that requires the service gets it, though its name is the later one."""
    offering = examples("offering")
    with capture_logs() as lines:
        async with boot(offering.GuestPlugin, offering.GreeterPlugin):
            pass
    assert [line["greeting"] for line in lines if line["event"] == "guest_greeted"] == ["Hello, Ada"]


async def test_a_term_that_is_over_writes_nothing(examples: Any, boot: Boot) -> None:
    """The worker of the example commits in the newest term alone."""
    async with boot(examples("fencing").ReconcilerPlugin) as booted:
        async with booted.database.transaction() as connection:
            statement = "INSERT INTO singleton_terms (name, term) VALUES ('reconciler.test', 7)"
            await connection.execute(text(statement))
        await booted.run_pass("reconciler.pass", Term("reconciler.test", 7))
        with pytest.raises(SupersededError):
            await booted.run_pass("reconciler.pass", Term("reconciler.test", 6))


async def test_a_lease_is_renewed_while_its_work_runs(examples: Any, boot: Boot) -> None:
    """The example's statement extends the lease that is held; the work of one that is another's is cancelled."""
    leases = examples("leases")
    async with boot() as booted:
        held = uuid4()
        async with booted.database.transaction() as connection:
            await connection.execute(text("CREATE TABLE builds (id uuid, lease bigint, leased_until timestamptz)"))
            insert = text("INSERT INTO builds VALUES (:id, 3, clock_timestamp() + interval '1 hour')")
            await connection.execute(insert, {"id": held})

        async def until_renewed() -> None:
            until = text("SELECT leased_until < clock_timestamp() + interval '1 minute' FROM builds")
            async with asyncio.timeout(10), booted.database.reading() as connection:
                while not (await connection.execute(until)).scalar_one():
                    await asyncio.sleep(0.01)

        keeper = leases.make_keeper(booted.database, timedelta(seconds=6))  # renewed every 2 s
        await leases.build(keeper, (held, 3), until_renewed)
        with pytest.raises(LeaseLostError):
            await leases.build(keeper, (held, 2), asyncio.Event().wait)


async def test_doctor_finds_what_cannot_be_reached(examples: Any, boot: Boot) -> None:
    """The example's check is satisfied by a listener, and names the variable once that is gone."""
    printer = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
    host, port = printer.sockets[0].getsockname()
    environment = {"BACKEND_PRINTER_ADDRESS": f"{host}:{port}"}
    async with boot(examples("checks").PrinterPlugin, environment=environment) as booted:
        [(_, check)] = booted.kernel.assembly.plugins.contributions("backend_doctor")
        assert [finding.state for finding in await check.run()] == ["ok"]
        printer.close()
        await printer.wait_closed()
        [finding] = await check.run()
        assert (finding.state, "BACKEND_PRINTER_ADDRESS" in finding.detail) == ("failed", True)


async def test_players_are_notified_once(
    examples: Any, boot: Boot, mailbox: Mailbox, mail_environment: dict[str, str]
) -> None:
    """The example's intent becomes one mail for a turn, made of its templates, with times in the player's zone."""
    notices = examples("notices")
    made: list[Any] = []

    class Herald(notices.HeraldPlugin):  # type: ignore[misc,name-defined] # a class made at run time
        def __init__(self, context: Any) -> None:
            super().__init__(context)
            made.append(self)

    ready = notices.TurnReady(game_id=uuid4(), game="Andromeda", due_at=datetime(2030, 1, 2, 3, 4, tzinfo=UTC))
    player = Registration("ada@example.test", time_zone="Europe/Vienna")
    async with boot(Herald, MailPlugin, NotificationPlugin, UserPlugin, environment=mail_environment) as booted:
        accounts = booted.kernel.services.require(ACCOUNTS, asked_by="the test")
        for turn in (7, 7, 8):
            async with booted.database.transaction() as connection:
                account, _ = await accounts.find_or_create(connection, player)
                await made[-1].announce(connection, turn, ready, [account.id])
        async with asyncio.timeout(20), mailbox.arrived:
            await mailbox.arrived.wait_for(lambda: len(mailbox.mails) >= 2)
        async with booted.database.reading() as connection:
            assert (await connection.exec_driver_sql("SELECT count(*) FROM notifications")).scalar_one() == 2
    for mail in mailbox.mails:
        assert mail["Subject"] == "Andromeda: your turn is ready"
        parts = [mail.get_body(preferencelist=(kind,)) for kind in ("plain", "html")]
        assert all(part is not None and "before 2030-01-02 04:04 CET" in part.get_content() for part in parts)


@pytest.mark.parametrize("title", [title for title in FILES if title.endswith((".py", ".md"))])
def test_its_english(title: str) -> None:
    """What the command writes has no word that must not come back."""
    assert list((in_python if title.endswith(".py") else in_markdown)(FILES[title])) == []
