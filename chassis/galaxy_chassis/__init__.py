"""What every process has: errors, clock, request context, health, configuration, logs, telemetry, HTTP listener."""
