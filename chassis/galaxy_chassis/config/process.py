"""Settings that every process of ours has."""

from datetime import timedelta
from typing import Literal

from pydantic import Field

from galaxy_chassis.config.settings import Duration, ListenAddress, Settings


class ProcessSettings(Settings):
    """How a process reads its configuration, writes its logs, exports its telemetry, and stops."""

    config_strict: bool = True
    """Whether an unknown variable of the same prefix is an error; otherwise it is a warning."""
    env_file: str | None = None
    """A file of `VARIABLE=value` lines; the environment has precedence over it."""
    shutdown_timeout: Duration = timedelta(seconds=25)
    """How long work in progress may take to finish after SIGTERM."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """Lines below it are not written."""
    otel_traces_exporter: Literal["otlp", "none", "stdout"] = "otlp"
    """Where traces go; `otlp` reads the standard `OTEL_EXPORTER_OTLP_*` variables. `none` under `backend dev`."""
    otel_traces_sample_ratio: float = Field(default=0.1, ge=0, le=1)
    """Share of requests traced when the caller has not decided."""
    otel_metrics_exporter: Literal["otlp", "none", "stdout", "prometheus"] = "otlp"
    """Where metrics go. `none` under `backend dev`."""
    otel_prometheus_listen_addr: ListenAddress = "127.0.0.1:9464"
    """Where `prometheus` metrics are served, apart from the API."""


def is_strict(text: str) -> bool:
    """Return whether the text of `<PREFIX>CONFIG_STRICT`, read before the settings are, asks for strictness."""
    return text.strip().lower() not in ("false", "0", "no", "off")
