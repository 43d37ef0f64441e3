"""Decides from refusals whether the relay refuses us, which pauses sending, or one mail, which costs it an attempt.

- A refusal about us by its words, or silence before the relay had the mail, is the relay's: the mail was not tried. But
  if the relay serves other mails afterwards and refuses this one again, it is this mail's: it uses its attempts. So a
  mail that looks like an outage (a recipient's server decides what relays quote) pauses sending once and stops nobody.
- Refusals that say nothing about anybody count for each mail, at once. When recipients at `IN_A_ROW` domains are
  refused in the same words and none was served between, it is the relay's after all: those mails are put back.

A process that dies keeps nothing of this: what was refused before stays as it was recorded, and the next refusals are
judged afresh.
"""

from collections import OrderedDict
from collections.abc import Collection
from enum import Enum, auto
from uuid import UUID

from galaxy_kernel.api import Claim, LeaseKey
from galaxy_mail.errors import Refusal
from galaxy_mail.replies import Subject

IN_A_ROW = 3
"""Domains that must be refused in the same words."""
_REMEMBERED = 10_000
"""Mails that are remembered, of each sort."""


class Verdict(Enum):
    """What a refusal means."""

    MAIL = auto()
    """This mail is refused, by its code for now or for good."""
    MAIL_FOR_NOW = auto()
    """This mail fails, but no code of it is trusted to be final."""
    RELAY = auto()
    """The relay serves nobody: this mail was not tried."""
    RELAY_AFTER_ALL = auto()
    """The relay serves nobody, as this refusal shows; the mail may have been accepted all the same, or is put back."""


class Verdicts:
    """One replica's experience with the relay."""

    def __init__(self) -> None:
        self.blaming = False
        """Whether the relay refused us and has served nobody since."""
        self._served = 0
        self._blamed: OrderedDict[UUID, int] = OrderedDict()
        """How many mails had been served when a mail was refused for our sake."""
        self._pattern = ""
        self._domains: set[str] = set()
        """The domains refused in a row with the same pattern."""
        self._row: OrderedDict[LeaseKey, None] = OrderedDict()
        """Their mails, as they were leased; without those that the relay may have accepted."""
        self._put_back: list[LeaseKey] = []

    def served(self) -> None:
        """Note that the relay accepted a mail, or refused it for its recipient's sake: it does serve us."""
        self._served += 1
        self.blaming = False
        self._begin_row("")

    def judge(self, claim: Claim, recipient: str, refusal: Refusal) -> Verdict:
        """Return what a refusal means."""
        if refusal.subject is Subject.RECIPIENT:
            if refusal.code is not None:
                self.served()
            return Verdict.MAIL
        if refusal.subject is Subject.US:
            return self._blame(claim)
        return self._count(claim, recipient.rpartition("@")[2].lower(), refusal)

    def to_put_back(self) -> Collection[LeaseKey]:
        """Return the mails whose refusal was the relay's after all."""
        return tuple(self._put_back)

    def put_back(self, keys: Collection[LeaseKey]) -> None:
        """Note that those are queued again."""
        self._put_back = [key for key in self._put_back if key not in keys]

    def _blame(self, claim: Claim) -> Verdict:
        before = self._blamed.get(claim.id, self._served)
        if before < self._served:
            return Verdict.MAIL_FOR_NOW
        self._blamed[claim.id] = before
        if len(self._blamed) > _REMEMBERED:
            self._blamed.popitem(last=False)
        self.blaming = True
        return Verdict.RELAY

    def _count(self, claim: Claim, domain: str, refusal: Refusal) -> Verdict:
        if refusal.pattern != self._pattern:
            self._begin_row(refusal.pattern)
        elif self._convicted and not refusal.handed_over:
            self.blaming = True
            return Verdict.RELAY
        self._domains.add(domain)
        if not refusal.handed_over:
            self._row[claim.key] = None
        if len(self._row) > _REMEMBERED:
            self._row.popitem(last=False)
        if not self._convicted:
            return Verdict.MAIL
        self._put_back += self._row
        self._row.clear()
        self.blaming = True
        return Verdict.RELAY_AFTER_ALL

    @property
    def _convicted(self) -> bool:
        return len(self._domains) >= IN_A_ROW

    def _begin_row(self, pattern: str) -> None:
        self._pattern = pattern
        self._domains.clear()
        self._row.clear()
