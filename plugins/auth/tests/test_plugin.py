"""The plugin as a whole: alone, and with the plugins it meets in a deployment."""

from importlib.resources import files
from typing import Any

import jinja2
import pytest

from galaxy_auth.plugin import AuthPlugin
from galaxy_auth.service import SIGN_IN_CODE
from galaxy_devkit.testing.kernel import Boot


async def test_boots_alone(world: Any) -> None:
    """The plugin boots with fakes of what it requires and is ready."""
    async with world.booted.client.get("/readyz") as response:
        assert response.status == 200, await response.text()


async def test_with_user_and_mail(boot: Boot) -> None:
    """With real accounts and the real queue a requested code leaves a mail, and no account before confirmation."""
    from galaxy_mail.plugin import MailPlugin
    from galaxy_user.plugin import UserPlugin

    environment = {"BACKEND_SMTP_HOST": "127.0.0.1", "BACKEND_SMTP_FROM": "Galaxy <galaxy@example.test>"}
    async with boot(AuthPlugin, UserPlugin, MailPlugin, environment=environment) as booted:
        body = {"email": "ada@example.test", "locale": "de"}
        async with booted.client.post("/api/v1/public/auth/send-email-code", json=body) as response:
            assert response.status == 202, await response.text()
        async with booted.database.reading() as connection:
            mails = await connection.exec_driver_sql("SELECT kind, recipient FROM mail_deliveries")
            assert [tuple(row) for row in mails] == [("auth.sign_in_code", "ada@example.test")]
            accounts = await connection.exec_driver_sql("SELECT count(*) FROM accounts")
            assert accounts.scalar_one() == 0


TEMPLATES = files("galaxy_auth") / "templates"


@pytest.mark.parametrize("language", ["en", "de"])
@pytest.mark.parametrize("minutes", [1, 5])
def test_mail_shows_code_and_validity_and_no_link(language: str, minutes: int) -> None:
    """The mail shows the code, how long it is valid, and no links; the subject does not contain the code."""
    layout = "{% block preheader %}{% endblock %}{% block content %}{% endblock %}{% block footer %}{% endblock %}"
    names = [f"sign_in_code.{language}.{kind}" for kind in ("txt", "html")]
    sources = {name: (TEMPLATES / name).read_text() for name in names}
    loader = jinja2.DictLoader({**sources, "layout.html": layout})
    environment = jinja2.Environment(loader=loader, undefined=jinja2.StrictUndefined, trim_blocks=True)
    parameters = {"code": "1234 5678", "minutes": minutes, "sender_name": "Galaxy", "language": language}
    for name in names:
        mail = environment.get_template(name).render(parameters)
        subject, _, body = mail.partition("\n") if name.endswith("txt") else ("", "", mail)
        assert body.count("1234 5678") == 1
        assert "1234" not in subject
        assert (f"{minutes} minutes" in body or f"{minutes} Minuten" in body) == (minutes == 5)
        assert not [mark for mark in ("http", "href", "www.") if mark in body]
    assert SIGN_IN_CODE.secret
