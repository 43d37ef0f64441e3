"""The catalogue of kinds: what may be submitted, to whom, with which payload."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

from msgspec import Raw
from pydantic import BaseModel, ValidationError

from galaxy_contracts.notification import Audience, Channel, Intent, NotificationKind
from galaxy_kernel.api import FieldError, field_errors, new_id
from galaxy_notification.domain import Destination, ValidatedIntent
from galaxy_notification.errors import IntentError, KindError

MAX_KEY = 255
"""Characters of an idempotency key, as of a mail's."""
MAX_PAYLOAD = 32_768
"""Bytes of a payload as JSON: it is copied into a push event, and a frame holds several of them."""

_NAME = re.compile(r"[a-z][a-z0-9]*\.[a-z][a-z0-9_]*")
_NUL = re.compile(r"(?<!\\)(\\\\)*\\u0000")
"""The character NUL in JSON; an escaped backslash does not begin it."""


class Catalogue:
    """Every kind that the installed plugins have registered."""

    def __init__(self) -> None:
        self._kinds: dict[str, NotificationKind] = {}

    def register(self, kind: NotificationKind) -> None:
        """Register a kind. Raise KindError."""
        faults = [*_faults_of_kind(kind)]
        if kind.name in self._kinds:
            faults.append("is registered already: one plugin owns a kind, and registers it once")
        if faults:
            raise KindError(f"notification kind {kind.name!r}: {'; '.join(faults)}")
        self._kinds[kind.name] = kind

    def find(self, name: str) -> NotificationKind | None:
        """Return a kind, or None."""
        return self._kinds.get(name)

    def all(self) -> list[NotificationKind]:
        """Return every kind, by name."""
        return [self._kinds[name] for name in sorted(self._kinds)]

    def check(self, intent: Intent) -> ValidatedIntent:
        """Check an intent. Raise IntentError with every fault, so that its author can correct all at once."""
        kind = self._kinds.get(intent.kind)
        faults = [*_faults_of_key(intent.idempotency_key)]
        payload = ""
        if kind is None:
            known = ", ".join(sorted(self._kinds))
            faults.append(FieldError("kind", f"is not registered: expected one of {known}"))
        else:
            payload, wrong = _payload(kind, intent.payload)
            faults += [*wrong, *_faults_of_recipients(kind, intent)]
        if faults or kind is None:
            raise IntentError(intent.kind, faults)
        recipients = [None] if kind.audience is Audience.OPERATORS else dict.fromkeys(intent.recipients)
        routes = [Destination(new_id(), recipient, channel) for recipient in recipients for channel in kind.channels]
        return ValidatedIntent(new_id(), kind.name, intent.idempotency_key, Raw(payload.encode()), routes)


def sample(kind: NotificationKind) -> dict[str, Any]:
    """Return a payload made of the fields' first examples; fields with a default need none."""
    fields = kind.payload.model_fields
    return {field.alias or name: field.examples[0] for name, field in fields.items() if field.examples}


def _faults_of_kind(kind: NotificationKind) -> Sequence[str]:
    faults = []
    if not _NAME.fullmatch(kind.name):
        faults.append("its name must be <plugin>.<what_happened>, in lower case")
    if not kind.channels or len(set(kind.channels)) != len(kind.channels):
        faults.append("channels must name at least one, each once")
    if kind.audience is Audience.OPERATORS and set(kind.channels) != {Channel.EMAIL}:
        faults.append("operators are reached by e-mail alone: channels must be (Channel.EMAIL,)")
    if Channel.EMAIL in kind.channels and not kind.package:
        faults.append("the channel e-mail needs the package that holds its templates")
    _, wrong = _payload(kind, sample(kind))
    if wrong:
        named = ", ".join(sorted({fault.field.removeprefix("payload.") for fault in wrong}))
        faults.append(f"its payload has no example: add {named} a default, or Field(examples=[…]) that fits")
    return faults


def _faults_of_key(key: str) -> Sequence[FieldError]:
    if not key or not key.isprintable() or len(key) > MAX_KEY:
        return [FieldError("idempotency_key", f"expected 1 to {MAX_KEY} printable characters")]
    return []


def _faults_of_recipients(kind: NotificationKind, intent: Intent) -> Sequence[FieldError]:
    if kind.audience is Audience.OPERATORS and intent.recipients:
        return [FieldError("recipients", "expected none: the kind is for operators")]
    if kind.audience is Audience.ACCOUNT and not intent.recipients:
        return [FieldError("recipients", "expected at least one account")]
    given: Sequence[object] = intent.recipients  # its declared type has not been checked yet
    return [
        FieldError(f"recipients.{place}", "expected an account's id, a UUID")
        for place, recipient in enumerate(given)
        if not isinstance(recipient, UUID)
    ]


def _payload(kind: NotificationKind, given: BaseModel | Mapping[str, Any]) -> tuple[str, Sequence[FieldError]]:
    """Return a payload as JSON that its kind reads again when it is delivered, or what is wrong with it."""
    if isinstance(given, BaseModel) and not isinstance(given, kind.payload):
        expected = kind.payload.__name__
        return "", [FieldError("payload", f"is a {type(given).__name__}: expected a {expected} or a mapping")]
    encoded = ""
    try:
        model = given if isinstance(given, kind.payload) else kind.payload.model_validate(given)
        encoded = model.model_dump_json(by_alias=True, warnings=False)
        kind.payload.model_validate_json(encoded)
    except ValidationError as error:
        read = json.loads(encoded) if encoded else given
        faults = field_errors(error, read, root="")
        return "", [replace(fault, field=f"payload.{fault.field}" if fault.field else "payload") for fault in faults]
    except ValueError as error:
        return "", [FieldError("payload", f"cannot be written as JSON: {error}")]
    if "\\u0000" in encoded and _NUL.search(encoded):  # the first part is quick
        return "", [FieldError("payload", "must not hold the character U+0000, which PostgreSQL cannot store")]
    if len(encoded.encode()) > MAX_PAYLOAD:
        return "", [FieldError("payload", f"is longer than {MAX_PAYLOAD} bytes as JSON")]
    return encoded, []
