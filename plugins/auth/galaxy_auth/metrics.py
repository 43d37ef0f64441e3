"""The plugin's metrics and security events: what was refused and what was wrong, without addresses."""

from typing import Any

from galaxy_kernel.api import Context, email_hash


class Security:
    """The counters `auth.codes_wrong` and `auth.codes_refused`, and a warning in the log for each."""

    def __init__(self, context: Context[Any]) -> None:
        self._log = context.log
        self._wrong = context.meter.create_counter("auth.codes_wrong", description="Wrong sign-in codes.")
        self._refused = context.meter.create_counter(
            "auth.codes_refused", description="Refused requests for a code, by throttle."
        )

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
