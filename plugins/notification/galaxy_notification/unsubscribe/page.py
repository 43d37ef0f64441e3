"""The page behind a link: a question with a button, or what became of it."""

import base64
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from html import escape
from importlib import resources
from string import Template


class Outcome(StrEnum):
    """What the page says."""

    QUESTION = "question"
    DONE = "done"
    MANDATORY = "mandatory"
    INVALID = "invalid"


@dataclass(frozen=True, slots=True)
class _Words:
    """The texts of one language: title and text of each outcome, and the button."""

    button: str
    texts: Mapping[Outcome, tuple[str, str]]


_LANGUAGES = {
    "en": _Words(
        "Unsubscribe",
        {
            Outcome.QUESTION: ("Unsubscribe from these mails?", "You will get no more mails of this kind:"),
            Outcome.DONE: (
                "You are unsubscribed",
                "You get no more mails of the kind below. You can switch them on again in your notification settings.",
            ),
            Outcome.MANDATORY: ("These mails cannot be switched off", "They belong to your account:"),
            Outcome.INVALID: (
                "This link is not valid",
                "It is incomplete or out of date. You choose which mails you get in your notification settings.",
            ),
        },
    ),
    "de": _Words(
        "Abbestellen",
        {
            Outcome.QUESTION: ("Diese Mails abbestellen?", "Du bekommst dann keine Mails dieser Art mehr:"),
            Outcome.DONE: (
                "Abbestellt",
                "Du bekommst keine Mails der folgenden Art mehr. In deinen Einstellungen für Benachrichtigungen kannst "
                "du sie wieder einschalten.",
            ),
            Outcome.MANDATORY: ("Diese Mails lassen sich nicht abbestellen", "Sie gehören zu deinem Konto:"),
            Outcome.INVALID: (
                "Dieser Link ist ungültig",
                "Er ist unvollständig oder veraltet. Welche Mails du bekommst, wählst du in deinen Einstellungen für "
                "Benachrichtigungen.",
            ),
        },
    ),
}
_SUMMARY = """
<p lang="en"><strong>{}</strong></p>"""
_BUTTON = """
<form method="post">
<input type="hidden" name="List-Unsubscribe" value="One-Click">
<button type="submit">{}</button>
</form>"""


class Page:
    """The page, with the headers that it is served with."""

    def __init__(self) -> None:
        source = resources.files("galaxy_notification.unsubscribe").joinpath("page.html").read_text("utf-8")
        self._template = Template(source)
        self.headers = {
            "Content-Security-Policy": _policy(source),
            "Referrer-Policy": "no-referrer",  # the address is the link itself
            "X-Robots-Tag": "noindex",
        }

    def render(self, outcome: Outcome, language: str = "en", summary: str = "") -> str:
        """Return the page in a language, or in English; `summary` names the kind."""
        tag = language.lower().replace("_", "-").partition("-")[0]
        tag = tag if tag in _LANGUAGES else "en"
        words = _LANGUAGES[tag]
        title, message = words.texts[outcome]
        return self._template.substitute(
            language=tag,
            title=escape(title),
            text=escape(message),
            summary=_SUMMARY.format(escape(summary)) if summary else "",
            button=_BUTTON.format(escape(words.button)) if outcome is Outcome.QUESTION else "",
        )


def _policy(source: str) -> str:
    """Return the policy (CSP level 3) that admits the page's style by its hash, and a form to its own address."""
    (style,) = re.findall(r"<style>(.*?)</style>", source, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return (
        f"default-src 'none'; style-src 'sha256-{digest}'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )
