"""Templates: found, compiled at registration, chosen by language, filled in."""

import re
from pathlib import Path

import pytest

from galaxy_contracts.mail import MailKind
from galaxy_mail.errors import RenderError, TemplateError
from galaxy_mail.rendering import Renderer

WELCOME = MailKind("test.welcome", "mail_owner")
NAME = {"name": "Ada"}


@pytest.fixture
def renderer(package: Path) -> Renderer:
    renderer = Renderer("Galaxy")
    renderer.register(WELCOME)
    return renderer


def test_both_forms_are_rendered(renderer: Renderer) -> None:
    """The first line of the text template is the subject, the rest the text; the HTML is in the layout."""
    mail = renderer.render("test.welcome", "en", NAME)
    assert mail.subject == "Welcome, Ada"
    assert mail.text == "Hello Ada,\nyour turn is ready.\n"
    assert "<p>Hello Ada</p>" in mail.html
    assert mail.html.startswith("<!doctype html>") and "<title>Welcome, Ada</title>" in mail.html


@pytest.mark.parametrize(
    ("language", "greeting"),
    [
        ("en", "Hello"),
        ("de", "Hallo"),
        ("de-AT", "Hallo"),
        ("DE_at", "Hallo"),
        ("de-Latn-AT", "Hallo"),
        ("fr", "Hello"),
        ("", "Hello"),
    ],
)
def test_language_falls_back(renderer: Renderer, language: str, greeting: str) -> None:
    """A language without templates falls back to itself without its region, then to the kind's default."""
    assert renderer.render("test.welcome", language, NAME).text.startswith(greeting)


def test_html_is_escaped_and_text_is_not(renderer: Renderer) -> None:
    """A parameter is data: it makes no tags in HTML, and is unchanged in text."""
    mail = renderer.render("test.welcome", "en", {"name": "<b>&'"})
    assert "&lt;b&gt;&amp;&#39;" in mail.html and "<b>" not in mail.html
    assert mail.text.startswith("Hello <b>&',") and mail.subject == "Welcome, <b>&'"


@pytest.mark.parametrize(
    ("language", "words"), [("en", "Unsubscribe from these mails"), ("de-AT", "Diese Mails abbestellen")]
)
def test_a_link_to_unsubscribe_is_at_the_end(renderer: Renderer, language: str, words: str) -> None:
    """Text and HTML end with the link, in the mail's language, and without one they do not mention it."""
    url = "https://play.test/off?a=1&b=2"
    mail = renderer.render("test.welcome", language, NAME, url)
    assert mail.text.endswith(f"\n{words}: {url}\n")
    assert f'<a href="{url.replace("&", "&amp;")}"' in mail.html and f">{words}</a>" in mail.html
    without = renderer.render("test.welcome", language, NAME)
    assert words not in without.text + without.html


def test_layout_loads_nothing_from_afar(renderer: Renderer) -> None:
    """No image, font, style or script is fetched when the mail is read, so readers are not tracked."""
    html = renderer.render("test.welcome", "en", NAME).html
    assert not re.search(r"https?://|<img|<script|<link|url\(|@import", html)


def test_missing_parameter_fails(renderer: Renderer) -> None:
    """A missing parameter is named by the error, with its template."""
    with pytest.raises(RenderError, match=r"welcome\.en\.txt: 'name' is undefined"):
        renderer.render("test.welcome", "en", {})


def test_no_value_is_in_the_error(package: Path) -> None:
    """An error that a value caused names its type alone, since it is kept in a row and the log."""
    (package / "welcome.en.txt").write_text("Subject: x\n\n{{ name | int(base=99) + 1 }}{{ name.upper() + 1 }}\n")
    renderer = Renderer("Galaxy")
    renderer.register(WELCOME)
    with pytest.raises(RenderError) as caught:
        renderer.render("test.welcome", "en", {"name": "ada@example.test"})
    assert "ada" not in str(caught.value).lower()


def test_line_break_in_the_subject_is_refused(renderer: Renderer) -> None:
    """A parameter cannot end the subject's line."""
    with pytest.raises(ValueError, match="subject: must not contain CR or LF"):
        renderer.render("test.welcome", "en", {"name": "x\r\nBcc: eve@example.test"})


def test_unknown_kind(renderer: Renderer) -> None:
    """An unregistered kind is refused by name."""
    with pytest.raises(ValueError, match=r"kind: 'test\.other' is not registered"):
        renderer.kind("test.other")


def test_second_registration_is_refused(renderer: Renderer) -> None:
    """One name is one kind."""
    with pytest.raises(ValueError, match="registered already, by package 'mail_owner'"):
        renderer.register(WELCOME)


@pytest.mark.parametrize(
    ("file", "source", "said"),
    [
        ("welcome.en.txt", None, "templates/welcome.en.txt: no such file"),
        ("welcome.de.html", None, "templates/welcome.de.html: no such file"),
        ("welcome.en.txt", "Hello\n", "templates/welcome.en.txt: its first line must begin with `Subject:`"),
        ("welcome.en.txt", "Subject: x\n\nfine\n{{ }\n", "templates/welcome.en.txt: line 4"),
        ("welcome.en.txt", "Subject: {% if %}\n\n", "templates/welcome.en.txt: line 1"),
        ("welcome.de.html", "{% block %}", "templates/welcome.de.html: line 1"),
        ("welcome.de.html", '{% extends "other.html" %}', "templates/welcome.de.html: no such file: other.html"),
    ],
)
def test_broken_templates_are_found_at_registration(package: Path, file: str, source: str | None, said: str) -> None:
    """Every template of a kind is compiled at once; faults are reported with package, file and line."""
    (package / file).unlink()
    if source is not None:
        (package / file).write_text(source)
    with pytest.raises(TemplateError, match=re.escape(said)) as caught:
        Renderer("Galaxy").register(WELCOME)
    assert "package 'mail_owner'" in str(caught.value)


@pytest.mark.parametrize("package_name", ["galaxy_nowhere", "email"])
def test_package_without_templates(package_name: str) -> None:
    """A package that is missing, or has no templates, is named."""
    with pytest.raises(TemplateError, match=f"package '{package_name}'"):
        Renderer("Galaxy").register(MailKind("test.welcome", package_name))


@pytest.mark.parametrize(
    ("file", "source", "told"),
    [
        ("welcome.de.txt", "Subject: x\n\n{{ nmae }}", "welcome.de.txt: the variable 'nmae' is undefined"),
        ("welcome.de.txt", "Subject: {{ nmae }}\n\nx", "welcome.de.txt: the variable 'nmae' is undefined"),
        ("welcome.de.html", "{% if name == 'never' %}{{ nmae }}{% endif %}", "welcome.de.html: the variable 'nmae'"),
        ("welcome.de.html", "{{ name.frist }}", "welcome.de.html: 'str object' has no attribute 'frist'"),
        ("welcome.de.html", "{{ name + 1 }}", "welcome.de.html: TypeError"),
        ("welcome.de.html", "{% if unsubscribe_url %}{{ name.no }}{% endif %}", "welcome.de.html: 'str object'"),
    ],
)
def test_a_misspelt_variable_refuses_the_kind(package: Path, file: str, source: str, told: str) -> None:
    """With an example, each template is tried out in every language; plugin, kind, language and variable are named."""
    (package / file).write_text(source)
    renderer = Renderer("Galaxy")
    kind = MailKind("test.welcome", "mail_owner", example={"name": "Ada"})
    with pytest.raises(TemplateError) as caught:
        renderer.register(kind)
    named = "plugin 'test': mail kind 'test.welcome', language 'de': package 'mail_owner': templates/"
    assert str(caught.value).startswith(f"{named}{told}")
    (package / file).write_text(TEMPLATES_BEFORE[file])
    Renderer("Galaxy").register(kind)


TEMPLATES_BEFORE = {
    "welcome.de.txt": "Subject: {{ name }}\n\n{% if more is defined %}{{ more }}{% endif %}",
    "welcome.de.html": (
        '{% extends "layout.html" %}{% set hello = "Hallo" %}{% block content %}{{ hello }} {{ name }}{% endblock %}'
    ),
}
