"""Why a subscription ends."""

import grpc


class SubscriptionEndedError(Exception):
    """Base: the subscriber hears `code` and the sentence, and subscribes again."""

    code = grpc.StatusCode.UNAVAILABLE
    reason = ""
    """Where the subscriber is the cause: the word for the counter and the log."""


class BlockedError(SubscriptionEndedError):
    """It left a frame untaken for too long."""

    code, reason = grpc.StatusCode.RESOURCE_EXHAUSTED, "blocked"


class LaggingError(SubscriptionEndedError):
    """It takes frames, but fell too far behind."""

    code, reason = grpc.StatusCode.RESOURCE_EXHAUSTED, "lagging"


class TrimmedError(SubscriptionEndedError):
    """What it has still to hear is no longer kept."""

    code, reason = grpc.StatusCode.RESOURCE_EXHAUSTED, "trimmed"
