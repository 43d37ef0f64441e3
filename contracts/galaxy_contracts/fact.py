"""Facts: occurrences in one plugin that concern others."""

from typing import ClassVar

import msgspec


class Fact(msgspec.Struct, frozen=True):
    """Base of every fact.

    A fact is recorded in the transaction that made it true and delivered to each listener at least once, after
    the commit, in a transaction of the listener's own. `fact` is its stable name in the database,
    `<plugin>.<what_happened>`; fields are encoded as JSON, so later versions only add fields with defaults.
    """

    fact: ClassVar[str]
