"""What makes a game: the body of its creation, checked as far as that needs nothing else. No I/O."""

import hashlib
from typing import Annotated, Any

from pydantic import AfterValidator, ConfigDict, Field, StringConstraints, TypeAdapter, model_validator

from galaxy_contracts.schedules import Schedule
from galaxy_kernel.api import Described, DisplayName, Duration, Model, TimeZone
from galaxy_lobby.domain import MAX_PLAYERS, Visibility, to_json

MAX_OPTIONS = 16_384
"""Bytes of options as JSON."""

_LENGTH: TypeAdapter[Any] = TypeAdapter(Duration)


def _length(text: str) -> str:
    _LENGTH.validate_python(text)
    return text


def _small(value: dict[str, Any]) -> dict[str, Any]:
    if len(to_json(value)) > MAX_OPTIONS:
        raise ValueError(f"must be at most {MAX_OPTIONS} bytes of JSON")
    return value


Length = Annotated[
    str,
    StringConstraints(max_length=20),
    AfterValidator(_length),
    Described(pattern=r"^[0-9]{1,8}(\.[0-9]{1,6})?(ms|s|m|h|d)$", examples=["12h"]),
]
"""A length of time: a number and one of ms, s, m, h, d; kept as it was written."""
Options = Annotated[dict[str, Any], AfterValidator(_small)]
Word = Annotated[str, StringConstraints(min_length=1, max_length=100)]
Count = Annotated[int, Field(ge=1, le=MAX_PLAYERS)]


class ScheduleSpec(Model):
    """When turns run: either `interval`, or `cron` with `time_zone`."""

    interval: Length | None = None
    """The length of a turn, for example `1d`, `12h` or `90s`."""
    cron: Annotated[str, StringConstraints(max_length=200)] | None = None
    """Five fields: minute, hour, day of the month, month, day of the week."""
    time_zone: TimeZone | None = None
    """Name in the IANA database in which `cron` is read."""
    at_least: Length | None = None
    """The shortest that a turn may last; an earlier tick is passed over."""

    def schedule(self) -> Schedule:
        """Return it as the runtime takes it."""
        lengths = {name: getattr(self, name) for name in ("interval", "at_least") if getattr(self, name) is not None}
        parsed = {name: _LENGTH.validate_python(text) for name, text in lengths.items()}
        return Schedule(cron=self.cron, time_zone=self.time_zone, **parsed)


class GameSpec(Model):
    """A game to create."""

    name: DisplayName
    engine_version: Word
    """An id, a `version` that one engine alone has, or `engine@version`."""
    visibility: Visibility = "public"
    """`private`: players need an invitation to see and join it."""
    min_players: Count = 2
    """Seats that must be taken before it can start."""
    max_players: Count
    """Seats."""
    schedule: ScheduleSpec
    run_when_final: bool = False
    """Whether a turn runs as soon as every awaited player has sent final orders."""
    options: Options = Field(default_factory=dict)
    """For the engine: what `options_schema` of its description allows."""
    policy: Word = "fixed"
    """What happens at a deadline."""
    policy_options: Options = Field(default_factory=dict)

    def digest(self) -> bytes:
        """Return a digest of what was asked for, by which a repetition is known."""
        return hashlib.sha256(self.model_dump_json().encode()).digest()


def _without_default(schema: dict[str, Any]) -> None:
    """Leave the default out of the documentation: an absent field is left as it is, not set to the default."""
    schema.pop("default", None)


def _kept(value: Any = None) -> Any:
    return Field(default=value, json_schema_extra=_without_default)


class GamePatch(Model):
    """The fields of a draft that are to change, one at least; the others stay as they are."""

    model_config = ConfigDict(json_schema_extra={"minProperties": 1})

    name: DisplayName = _kept("")
    engine_version: Word = _kept("")
    visibility: Visibility = _kept("public")
    min_players: Count = _kept(1)
    max_players: Count = _kept(1)
    schedule: ScheduleSpec = _kept(ScheduleSpec())
    run_when_final: bool = _kept(False)
    options: Options = _kept({})
    policy: Word = _kept("")
    policy_options: Options = _kept({})

    @model_validator(mode="after")
    def _something(self) -> "GamePatch":
        if not self.model_fields_set:
            raise ValueError("must hold at least one field of a game")
        return self

    def applied_to(self, spec: GameSpec) -> GameSpec:
        """Return what a draft becomes."""
        return spec.model_copy(update={name: getattr(self, name) for name in self.model_fields_set})
