"""Every kind in every language: its mails render, and say when in the reader's own time."""

from datetime import UTC, datetime
from importlib.resources import files
from typing import Any, get_args
from zoneinfo import ZoneInfo

import jinja2
import pytest

from galaxy_contracts.mail import OUTBOX
from galaxy_contracts.notification import NotificationKind
from galaxy_lobby.domain import PauseReason
from galaxy_lobby.notices import INVITATION_MAIL, KINDS, CancelledBy, VacatedBy

LANGUAGES = ("en", "de")
TEMPLATES = files("galaxy_lobby") / "templates"
ZONE = ZoneInfo("Pacific/Auckland")
DUE = datetime(2030, 1, 1, 18, 30, tzinfo=UTC).astimezone(ZONE)
SHOWN = {"en": "2030-01-02 07:30 NZDT", "de": "02.01.2030 07:30 NZDT"}
LAYOUT = "{% block preheader %}{% endblock %}{% block content %}{% endblock %}{% block footer %}{% endblock %}"
COMMON = {"game": "<Andromeda>", "recipient_name": "Ada", "sender_name": "Galaxy", "game_id": "g"}


def parameters(kind: NotificationKind) -> list[dict[str, Any]]:
    """Return payloads of a kind that go through every branch of its templates."""
    base: dict[str, Any] = {"turn": 7, "player": "Bob", "inviter": "Bob", "enrolled": 2, "max_players": 2, "seat": 3}
    base |= {"invitation_id": "i", "expires_at": DUE, "failure": "pull_failed", "removed": False, "reason": ""}
    base |= {"next_turn_at": DUE, "by_owner": True, "by": "owner", "language": "en"}
    fields = kind.payload.model_fields
    varied: dict[str, list[Any]] = {
        "removed": [True, False],
        "by_owner": [True, False],
        "enrolled": [1, 2],
        "next_turn_at": [DUE, None] if kind.name != "lobby.postponed" else [DUE],
        "by": list(get_args(CancelledBy)),
        "reason": {
            "lobby.paused": list(get_args(PauseReason)),
            "lobby.seat_vacant": list(get_args(VacatedBy)),
        }.get(kind.name, ["", "the server was away"]),
    }
    found = [base]
    for name, values in varied.items():
        if name in fields:
            found = [given | {name: value} for given in found for value in values]
    return [COMMON | given for given in found]


def environment() -> jinja2.Environment:
    loader = jinja2.ChoiceLoader([jinja2.DictLoader({"layout.html": LAYOUT}), jinja2.PackageLoader("galaxy_lobby")])
    escape = jinja2.select_autoescape(["html"], default_for_string=False)
    return jinja2.Environment(loader=loader, autoescape=escape, undefined=jinja2.StrictUndefined, trim_blocks=True)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_mails_of_every_kind(kind: NotificationKind, language: str) -> None:
    """Text and page render with every payload, name the game, escape it, and give times in the reader's zone."""
    name = kind.name.removeprefix("lobby.")
    for given in parameters(kind):
        text = environment().get_template(f"{name}.{language}.txt").render(given)
        page = environment().get_template(f"{name}.{language}.html").render(given)
        subject, _, body = text.partition("\n")
        assert subject.startswith("Subject: ")
        assert "<Andromeda>" in subject
        assert "<Andromeda>" in body
        assert "&lt;Andromeda&gt;" in page
        assert "<Andromeda>" not in page
        times = [given[field] for field in ("next_turn_at", "expires_at") if field in kind.payload.model_fields]
        for time in times:
            assert (SHOWN[language] in body) is (SHOWN[language] in page) is (time is not None)
        assert "\n\n\n" not in body.replace("-- \n", "")
        assert not [line for line in body.splitlines() if len(line) > 100]


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_mail_to_a_new_address(language: str) -> None:
    """It says who invites to what and until when, and greets nobody by name."""
    given = {"game": "Andromeda", "inviter": "Bob", "expires_at": DUE, "sender_name": "Galaxy"}
    for ending in ("txt", "html"):
        mail = environment().get_template(f"invitation.{language}.{ending}").render(given)
        assert all(word in mail for word in ("Andromeda", "Bob", SHOWN[language], "Galaxy"))
    assert INVITATION_MAIL.name == "lobby.invitation"


def test_no_template_is_left_over() -> None:
    """Every file belongs to a kind and a language."""
    stems = [*(kind.name.removeprefix("lobby.") for kind in KINDS), "invitation"]
    expected = {f"{stem}.{language}.{ending}" for stem in stems for language in LANGUAGES for ending in ("txt", "html")}
    assert {path.name for path in TEMPLATES.iterdir() if not path.name.startswith("__")} == expected


async def test_the_real_outbox_takes_the_templates(boot: Any) -> None:
    """The mail plugin compiles every one of them, and the notification plugin takes every kind with its examples."""
    from galaxy_contracts.accounts import ACCOUNTS
    from galaxy_contracts.notification import NOTIFICATIONS
    from galaxy_contracts.testing import FakeAccounts
    from galaxy_devkit.testing.kernel import offering
    from galaxy_mail.plugin import MailPlugin
    from galaxy_notification.plugin import NotificationPlugin

    fakes = offering("fakes", {ACCOUNTS: FakeAccounts()})
    smtp = {"BACKEND_SMTP_HOST": "127.0.0.1", "BACKEND_SMTP_FROM": "Galaxy <galaxy@example.test>"}
    async with boot(MailPlugin, NotificationPlugin, fakes, environment=smtp) as booted:
        notifications = booted.kernel.services.require(NOTIFICATIONS, asked_by="the test")
        for kind in KINDS:
            notifications.register(kind)
        booted.kernel.services.require(OUTBOX, asked_by="the test").register(INVITATION_MAIL)
