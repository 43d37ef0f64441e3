"""Every limit of the contract: how large an answer or a request may be, and how long a call may take.

The contract's document states some of them; a test holds both together. Sizes are bytes of JSON.
"""

import msgspec

KIB = 1024
MIB = 1024 * KIB

SEATS = 255
TURN_NUMBER = 1_000_000
SEED_LENGTH = 128
"""Characters."""

STATE_BYTES = 16 * MIB
REPORT_BYTES = 1 * MIB
REPORTS_BYTES = 8 * MIB
"""All seats' reports of one position together."""
ORDERS_BYTES = 256 * KIB
"""One seat's set."""
ORDERS_COUNT = 10_000
"""Orders of one seat's set."""
OPTIONS_BYTES = 4 * MIB
DESCRIBE_BYTES = 256 * KIB

# The contract does not state these: they follow from what it states, or bound what it leaves open.
POSITION_BYTES = STATE_BYTES + REPORTS_BYTES + REPORT_BYTES + 256 * KIB
"""State, reports, the public report, and the rest."""
RESULT_BYTES = 64 * KIB
VERDICT_BYTES = 4 * MIB
SUGGESTION_BYTES = ORDERS_BYTES + 4 * KIB
SMALL_BYTES = 64 * KIB
"""Answers whose body says nothing, such as that of /healthz, and refusals."""

DEPTH = 128
"""Objects and arrays inside one another, in any answer."""
MEMBERS = 200_000
"""Values in an answer, except a position's."""
POSITION_MEMBERS = 4_000_000
"""Values in a position: most are in its state and reports, which the host passes on without a look inside."""

INLINE_BYTES = 64 * KIB
"""Answers up to this size are parsed on the event loop, larger ones in a thread."""


class CallTimes(msgspec.Struct, frozen=True):
    """How long each call may take, connecting and reading included, in seconds."""

    health: float = 2.0
    describe: float = 5.0
    order: float = 5.0
    """orders, validate, options, suggest."""
    state: float = 10.0
    turn: float = 60.0
    """init and turns."""
