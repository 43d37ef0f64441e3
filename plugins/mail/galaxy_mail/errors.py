"""Errors of mails.

Halt (kernel)
└── RelayDown       the relay serves nobody just now: sending pauses, no mail loses an attempt
MailError
├── Refusal         the relay refused this one mail, for now or for good
└── RenderError     a template failed on this one mail's parameters: it is a dead letter
ValueError
└── TemplateError   a kind's templates are missing or broken: the boot is refused
"""

from galaxy_kernel.api import Halt


class MailError(Exception):
    """Base of errors that concern one mail."""


class RelayDown(Halt):
    """The relay cannot be reached, refuses our login, or refuses our sender: no mail was sent to it."""


class Refusal(MailError):  # noqa: N818 - the field's own word
    """This attempt failed."""

    def __init__(self, detail: str, *, code: int | None = None, permanent: bool) -> None:
        super().__init__(detail)
        self.detail, self.code, self.permanent = detail, code, permanent


class RenderError(MailError):
    """A template failed on its parameters. The message names template and line, and no parameter's value."""


class TemplateError(ValueError):
    """A kind's templates are missing or broken: which package and file, and why."""
