"""The answer to unsafe calls while the store is away."""

from galaxy_chassis.http.problems import Problem

_RETRY_AFTER = 1
"""Seconds: the store is tried again several times in it."""


def limits_unavailable() -> Problem:
    """Return the problem 503: neither limits nor earlier answers can be looked up, so nothing may be changed."""
    detail = "Changes are not accepted for the moment, since limits cannot be counted. Reading works; try again."
    return Problem(503, "limits_unavailable", detail, headers={"Retry-After": str(_RETRY_AFTER)})
