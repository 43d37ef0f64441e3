"""The plugin's metrics and security events: what was refused and what was wrong, without addresses."""

from typing import Any

from galaxy_kernel.api import Context, Counter, email_hash

SIGN_INS = Counter("auth.sign_ins", "Sign-ins, into an account that is `new` or `known`.", ("account",))
CODES_SENT = Counter("auth.codes_sent", "Sign-in codes that were queued as mails.")
CODES_WRONG = Counter("auth.codes_wrong", "Wrong sign-in codes.")
CODES_REFUSED = Counter("auth.codes_refused", "Refused requests for a code, by throttle.", ("throttle",))


class Security:
    """Counts sign-ins and codes; what was wrong or refused is a warning in the log too."""

    def __init__(self, context: Context[Any]) -> None:
        self._log = context.log
        self._signed_in, self._sent = SIGN_INS.on(context.meter), CODES_SENT.on(context.meter)
        self._wrong, self._refused = CODES_WRONG.on(context.meter), CODES_REFUSED.on(context.meter)

    def signed_in(self, *, new: bool) -> None:
        """Report a sign-in that has committed."""
        self._signed_in.add(1, {"account": "new" if new else "known"})

    def code_sent(self) -> None:
        """Report a code that was queued."""
        self._sent.add(1)

    def code_wrong(self, email: str, *, left: int) -> None:
        """Report a wrong code."""
        self._wrong.add(1)
        self._log.warning("sign_in_code_wrong", email_hash=email_hash(email), tries_left=left)

    def refused(self, email: str, throttle: str, seconds: float) -> None:
        """Report a refused request for a code; `throttle` is a field of `Sent`."""
        self._refused.add(1, {"throttle": throttle})
        self._log.warning(
            "sign_in_refused", email_hash=email_hash(email), throttle=throttle, retry_in_seconds=round(seconds)
        )
