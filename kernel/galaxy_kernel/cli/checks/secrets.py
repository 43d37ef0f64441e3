"""Checks of secrets: what is long enough for the settings may be guessed all the same."""

import math
import re
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

from galaxy_chassis.doctor import Finding
from galaxy_kernel.core.settings import KernelSettings

_WORDS = re.compile(r"change.?me|secret|password|passphrase|example|default|insecure|placeholder|development", re.I)
_LEAST_BITS = 96
"""By the frequency of its characters; 32 random hexadecimal digits have about 115."""
_REMEDY = "use the output of: openssl rand -base64 48"


async def check(settings: KernelSettings) -> Sequence[Finding]:
    """Check the secret key and the gateway's token."""
    found = [_strength("secret key", "BACKEND_SECRET_KEY", settings.secret.decode())]
    if settings.token is not None:
        found.append(_strength("gateway token", "BACKEND_GATEWAY_TOKEN", settings.token))
        if settings.token.encode() == settings.secret:
            told = "BACKEND_GATEWAY_TOKEN is the secret key, which no other machine may have: " + _REMEDY
            found[-1] = Finding("gateway token", "failed", told)
    return found


def _strength(name: str, variable: str, secret: str) -> Finding:
    weakness = weakness_of(secret)
    if weakness is None:
        return Finding(name, "ok", "looks random")
    return Finding(name, "warning", f"{variable} can be guessed, for it {weakness}: {_REMEDY}")


def weakness_of(secret: str) -> str | None:
    """Return what makes a secret look as if nobody had drawn it at random; None where nothing does."""
    if (word := _WORDS.search(secret)) is not None:
        return f"has the word {word[0].lower()!r}"
    if secret in (secret + secret)[1:-1]:
        return "repeats itself"
    steps = sum(abs(ord(after) - ord(before)) == 1 for before, after in pairwise(secret))
    if steps > len(secret) / 2:
        return "is a sequence"
    bits = sum(count * math.log2(len(secret) / count) for count in Counter(secret).values())
    return "has few different characters" if bits < _LEAST_BITS else None
