"""Errors that end a subscription."""

import grpc


class SubscriptionEndedError(Exception):
    """Base: the subscriber receives `code` and the sentence, and subscribes again."""

    code = grpc.StatusCode.UNAVAILABLE
    reason = ""
    """The reason for the counter and the log, where the subscriber is the cause."""


class BlockedError(SubscriptionEndedError):
    """It did not read a frame for too long."""

    code, reason = grpc.StatusCode.RESOURCE_EXHAUSTED, "blocked"


class LaggingError(SubscriptionEndedError):
    """It reads frames, but fell too far behind."""

    code, reason = grpc.StatusCode.RESOURCE_EXHAUSTED, "lagging"


class TrimmedError(SubscriptionEndedError):
    """The next events for it are no longer kept."""

    code, reason = grpc.StatusCode.RESOURCE_EXHAUSTED, "trimmed"
