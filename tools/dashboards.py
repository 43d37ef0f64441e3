"""Dashboards for Grafana, written down as rows of panels; every query is held against the metrics that exist.

`docs/grafana/*.json` are made from this; import them in Grafana, or provision the folder. Each asks for the Prometheus
data source by a variable, and has one for the processes to look at.
"""

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

import catalogue


class Panel(NamedTuple):
    """A graph of one or more queries."""

    title: str
    unit: str
    """One of Grafana's units."""
    queries: tuple[tuple[str, str], ...]
    """PromQL and the legend of its series."""
    about: str = ""
    """What to make of it."""


Rows = dict[str, tuple[Panel, ...]]
"""Panels by the title of their row."""

_HERE = '{instance=~"$instance"}'
_FAILED = '{instance=~"$instance", outcome="failed"}'


def _rate(series: str, by: str) -> tuple[str, str]:
    legend = " ".join(f"{{{{{label.strip()}}}}}" for label in by.split(","))
    return f"sum by ({by}) (rate({series}{_HERE}[$__rate_interval]))", legend


def _top(series: str, legend: str) -> tuple[str, str]:
    """Every replica reads the same from the database: the largest is shown."""
    return f"max({series}{_HERE})", legend


def _quantiles(series: str, *shares: float) -> tuple[tuple[str, str], ...]:
    inner = f"sum by (le) (rate({series}_bucket{_HERE}[$__rate_interval]))"
    return tuple((f"histogram_quantile({share}, {inner})", f"p{share * 100:g}") for share in shares)


_REQUESTS = "http_server_request_duration_seconds"
_PROCESS: Rows = {
    "Processes": (
        Panel(
            "Checks",
            "short",
            ((f"max by (instance, plugin, check) (galaxy_check_state{_HERE})", "{{check}}"),),
            "0 is ok, 1 degraded, 2 failed.",
        ),
        Panel("Requests", "reqps", (_rate(f"{_REQUESTS}_count", "http_response_status_code"),)),
        Panel("Time to answer", "s", _quantiles(_REQUESTS, 0.5, 0.99)),
        Panel(
            "Event loop delay",
            "s",
            _quantiles("galaxy_event_loop_delay_seconds", 0.99),
            "Over 0.25 s: too little CPU, or code that blocks.",
        ),
        Panel("CPU", "percentunit", (_rate("process_cpu_time_seconds_total", "instance"),)),
        Panel("Memory", "bytes", ((f"process_memory_usage_bytes{_HERE}", "{{instance}}"),)),
    ),
}
"""The first row of both dashboards."""

BACKEND: Rows = _PROCESS | {
    "Games": (
        Panel(
            "Turns due and late",
            "short",
            (_top("runtime_turns_due", "due"), _top("runtime_turns_late", "late")),
            "Late: due for over a minute.",
        ),
        Panel("Attempts at turns", "ops", (_rate("runtime_turn_attempts_total", "outcome"),)),
        Panel("Time of a turn", "s", _quantiles("runtime_turn_duration_seconds", 0.5, 0.99)),
        Panel("Engines", "short", ((f"max by (status) (runtime_engines{_HERE})", "{{status}}"),)),
        Panel("Starts of engines", "ops", (_rate("runtime_engine_starts_total", "outcome"),)),
        Panel("Ends that nobody asked for", "ops", (_rate("runtime_engine_crashes_total", "reason"),)),
        Panel("Operations", "ops", (_rate("runtime_operations_total", "operation, outcome"),)),
        Panel("Checks of engine versions", "ops", (_rate("engineversion_checks_total", "outcome"),)),
    ),
    "Mail and notifications": (
        Panel("Mails that wait", "short", (_top("mail_queued", "queued"), _top("mail_dead_letters", "dead letters"))),
        Panel(
            "How long mails have been due",
            "s",
            (_top("mail_overdue_seconds", "overdue"), _top("mail_oldest_age_seconds", "oldest")),
        ),
        Panel("Attempts at mails", "ops", (_rate("mail_attempts_total", "outcome"),)),
        Panel("Relay", "short", (_top("mail_relay_up", "up"),), "0 while no backend can send."),
        Panel(
            "Notifications that wait",
            "short",
            (_top("notification_queued", "queued"), _top("notification_dead_letters", "dead letters")),
        ),
        Panel("Attempts at notifications", "ops", (_rate("notification_attempts_total", "channel, outcome"),)),
    ),
    "Sign-in": (
        Panel("Sign-ins", "ops", (_rate("auth_sign_ins_total", "account"),)),
        Panel(
            "Codes",
            "ops",
            (
                (f"sum(rate(auth_codes_sent_total{_HERE}[$__rate_interval]))", "sent"),
                (f"sum(rate(auth_codes_wrong_total{_HERE}[$__rate_interval]))", "wrong"),
            ),
        ),
        Panel("Codes refused", "ops", (_rate("auth_codes_refused_total", "throttle"),)),
        Panel("Requests by outcome of their country", "reqps", (_rate("geo_requests_total", "outcome"),)),
    ),
    "Database and work": (
        Panel(
            "Connections",
            "short",
            (
                (f"galaxy_postgres_connections_used{_HERE}", "{{instance}} used"),
                (f"galaxy_postgres_connections_waiting{_HERE}", "{{instance}} waiting"),
                (f"galaxy_postgres_connections_limit{_HERE}", "{{instance}} limit"),
            ),
        ),
        Panel(
            "Change feed",
            "s",
            ((f"galaxy_feed_lag_seconds{_HERE}", "{{instance}}"),),
            "Over 5 s the replica is not ready.",
        ),
        Panel("Rows in caches", "short", ((f"max by (cache) (galaxy_cache_rows{_HERE})", "{{cache}}"),)),
        Panel(
            "Passes that fail",
            "ops",
            (
                (
                    f"sum by (worker) (rate(galaxy_worker_passes_total{_FAILED}[$__rate_interval]))",
                    "{{worker}}",
                ),
            ),
        ),
        Panel("Facts that wait", "short", ((f"max by (listener) (galaxy_facts_waiting{_HERE})", "{{listener}}"),)),
        Panel("Gateways subscribed", "short", ((f"sum(push_subscribers{_HERE})", "subscribers"),)),
    ),
}

GATEWAY: Rows = _PROCESS | {
    "Backends and limits": (
        Panel("Calls that failed", "ops", (_rate("gateway_backend_failures_total", "reason"),)),
        Panel("Requests over a limit", "ops", (_rate("gateway_limits_refused_total", "policy"),)),
        Panel(
            "Redis away",
            "ops",
            (_rate("gateway_limits_unavailable_total", "outcome"),),
            "Not empty while the store does not answer.",
        ),
        Panel("Calls with a key", "ops", (_rate("gateway_idempotent_calls_total", "outcome"),)),
        Panel("Connections", "short", ((f"gateway_connections{_HERE}", "{{instance}}"),)),
        Panel("Connections ended by a limit", "ops", (_rate("gateway_connections_ended_total", "reason"),)),
    ),
    "Live events": (
        Panel("Streams", "short", ((f"gateway_streams{_HERE}", "{{instance}}"),)),
        Panel("Events sent", "ops", (_rate("gateway_events_sent_total", "instance"),)),
        Panel("Streams ended", "ops", (_rate("gateway_streams_ended_total", "reason"),)),
        Panel("Streams refused", "ops", (_rate("gateway_streams_refused_total", "reason"),)),
        Panel("Clients that fetch their state again", "ops", (_rate("gateway_resyncs_total", "instance"),)),
        Panel("Subscriptions begun", "ops", (_rate("gateway_subscriptions_total", "instance"),)),
    ),
}

DASHBOARDS: dict[str, Rows] = {"backend": BACKEND, "gateway": GATEWAY}
_BEACON = {"backend": "galaxy_feed_lag_seconds", "gateway": "gateway_streams"}
"""A series that every process of the kind has."""


def files() -> dict[str, str]:
    """Return the files of the dashboards, by their names in `docs/grafana`."""
    return {
        f"{name}.json": json.dumps(_dashboard(name, rows), indent=1, ensure_ascii=False) + "\n"
        for name, rows in DASHBOARDS.items()
    }


def queries() -> Iterator[tuple[str, str]]:
    """Yield where a query stands, and the query."""
    for name, rows in DASHBOARDS.items():
        for panel in (panel for panels in rows.values() for panel in panels):
            yield from ((f"{name}: {panel.title}", query) for query, _ in panel.queries)


def faults() -> Iterator[str]:
    """Yield what the queries name that does not exist."""
    known = {name: frozenset(each.labels) for each in catalogue.catalogue() for name in each.series}
    for place, query in queries():
        yield from (f"tools/dashboards.py: {place}: {fault}" for fault in catalogue.faults_of_expression(query, known))


def _dashboard(name: str, rows: Rows) -> dict[str, Any]:
    return {
        "uid": f"galaxy-{name}",
        "title": f"Galaxy {name}",
        "tags": ["galaxy"],
        "schemaVersion": 39,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "templating": {"list": [_source(), _instances(_BEACON[name])]},
        "panels": list(_panels(rows)),
    }


def _panels(rows: Rows) -> Iterator[dict[str, Any]]:
    number, top, wide, tall = 1, 0, 8, 7
    for title, panels in rows.items():
        yield {
            "id": number,
            "type": "row",
            "title": title,
            "collapsed": False,
            "panels": [],
            "gridPos": {"h": 1, "w": 24, "x": 0, "y": top},
        }
        number, top = number + 1, top + 1
        for place, panel in enumerate(panels):
            position = {"h": tall, "w": wide, "x": wide * (place % 3), "y": top + tall * (place // 3)}
            yield _graph(number, panel, position)
            number += 1
        top += tall * -(-len(panels) // 3)


def _graph(number: int, panel: Panel, position: dict[str, int]) -> dict[str, Any]:
    source = {"type": "prometheus", "uid": "${source}"}
    return {
        "id": number,
        "type": "timeseries",
        "title": panel.title,
        "description": panel.about,
        "datasource": source,
        "gridPos": position,
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
        "options": {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi"}},
        "targets": [
            {"refId": chr(ord("A") + place), "datasource": source, "expr": query, "legendFormat": legend}
            for place, (query, legend) in enumerate(panel.queries)
        ],
    }


def _source() -> dict[str, Any]:
    return {"name": "source", "label": "Data source", "type": "datasource", "query": "prometheus"}


def _instances(series: str) -> dict[str, Any]:
    return {
        "name": "instance",
        "label": "Process",
        "type": "query",
        "datasource": {"type": "prometheus", "uid": "${source}"},
        "query": f"label_values({series}, instance)",
        "refresh": 2,
        "includeAll": True,
        "multi": True,
        "allValue": ".*",
        "current": {"text": "All", "value": "$__all"},
    }
