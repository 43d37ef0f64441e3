"""Errors of mails.

Halt (kernel)
└── RelayDown       the relay serves nobody just now: sending pauses, no mail loses an attempt
MailError
├── Refusal         the relay did not accept this one mail; by its `subject`, maybe none at all
└── RenderError     a template failed on this one mail's parameters: it is a dead letter
ValueError
└── TemplateError   a kind's templates are missing or broken: the boot is refused
"""

from galaxy_kernel.api import Halt
from galaxy_mail.replies import Subject


class MailError(Exception):
    """Base of errors that concern one mail."""


class RelayDown(Halt):
    """The relay cannot be reached, or refuses us: it serves none of our mails."""


class Refusal(MailError):  # noqa: N818 - the field's own word
    """This attempt failed."""

    def __init__(
        self,
        detail: str,
        *,
        code: int | None = None,
        permanent: bool,
        subject: Subject = Subject.UNKNOWN,
        pattern: str = "",
        handed_over: bool = False,
    ) -> None:
        super().__init__(detail)
        self.detail, self.code, self.permanent, self.subject = detail, code, permanent, subject
        self.pattern = pattern or detail
        """What refusals of several mails for one reason have in common."""
        self.handed_over = handed_over
        """Whether the relay may have accepted the mail all the same."""


class RenderError(MailError):
    """A template failed on its parameters. The message names template and line, and no parameter's value."""


class TemplateError(ValueError):
    """A kind's templates are missing or broken: which package and file, and why."""
