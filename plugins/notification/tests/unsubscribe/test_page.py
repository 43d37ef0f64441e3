"""The page behind a link."""

import base64
import hashlib
import re

import pytest

from galaxy_notification.unsubscribe.page import Outcome, Page

PAGE = Page()


@pytest.mark.parametrize("outcome", Outcome)
@pytest.mark.parametrize(
    ("language", "tag"), [("en", "en"), ("de-AT", "de"), ("DE_at", "de"), ("fr", "en"), ("", "en")]
)
def test_every_outcome_has_its_words(outcome: Outcome, language: str, tag: str) -> None:
    """The page is in the account's language where it can be; only the question has a button."""
    html = PAGE.render(outcome, language, "A turn is ready.")
    assert f'<html lang="{tag}">' in html
    assert html.count("<form") == (outcome is Outcome.QUESTION)
    assert "$" not in html


def test_a_summary_is_data() -> None:
    """A kind's summary makes no tags."""
    assert "<strong>&lt;b&gt;</strong>" in PAGE.render(Outcome.DONE, "en", "<b>")


def test_the_policy_admits_the_page_and_nothing_else() -> None:
    """Its style by hash and its form; no script, no frame, nothing from elsewhere."""
    html = PAGE.render(Outcome.QUESTION)
    (style,) = re.findall(r"<style>(.*?)</style>", html, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert PAGE.headers["Content-Security-Policy"] == (
        f"default-src 'none'; style-src 'sha256-{digest}'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )
    assert not re.search(r"https?://|<script|style=|src=|href=", html)
    assert PAGE.headers["Referrer-Policy"] == "no-referrer"
