"""The alert rules and the dashboards before Prometheus itself: its promtool reads them, and plays each rule.

Prometheus is Debian's package `prometheus`. Without promtool these tests are skipped; `REQUIRE_PROMTOOL=1` makes that a
failure.
"""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

import catalogue
import dashboards
import pytest
import yaml

PROMTOOL = shutil.which("promtool")
RULES = {
    rule["alert"]: rule
    for group in yaml.safe_load(catalogue.ALERTS.read_text("utf-8"))["groups"]
    for rule in group["rules"]
}


@pytest.fixture
def promtool() -> str:
    if PROMTOOL is None:
        lacking = "no promtool on the PATH: apt-get install prometheus"
        assert os.environ.get("REQUIRE_PROMTOOL") != "1", lacking
        pytest.skip(lacking)
    return PROMTOOL


class Played(NamedTuple):
    """A rule at a minute, with a sample of each series a minute: those that fire it, and those that do not."""

    minute: int
    fires: dict[str, str]
    """Series and their values, as promtool writes them: `0+10x20` begins at 0 and grows twenty times by 10."""
    labels: dict[str, str]
    """The labels of the alert, but for its severity."""
    summary: str
    quiet: dict[str, str]


REQUESTS = "http_server_request_duration_seconds"
JOB, B1, G1 = {"job": "galaxy-backend"}, {"instance": "b1"}, {"instance": "g1"}
STATE = 'galaxy_check_state{instance="b1", plugin="mail", check="relay"}'
CHECK = B1 | {"plugin": "mail", "check": "relay"}


def _counted(series: str, grows: str, quiet: str, minutes: int = 20) -> dict[str, Any]:
    """Return the parts of a rule about one series: its values when it fires, and when it does not."""
    return {"minute": minutes, "fires": {series: f"{grows}x100"}, "quiet": {series: f"{quiet}x100"}}


PLAYED = {
    "GalaxyProcessDown": Played(
        5, {'up{job="galaxy-backend", instance="b1"}': "0x10"}, JOB | B1, "b1 does not answer.",
        {'up{job="galaxy-backend", instance="b1"}': "1x10", 'up{job="node", instance="b1"}': "0x10"},
    ),
    "GalaxyCheckFailed": Played(
        5, {STATE: "2x10"}, CHECK,
        "b1: check relay of mail has failed.", {STATE: "1x10"},
    ),
    "GalaxyCheckDegraded": Played(
        20, {STATE: "1x30"}, CHECK,
        "b1: check relay of mail is degraded.", {STATE: "0x30"},
    ),
    "GalaxyRequestsFail": Played(
        12,
        {f'{REQUESTS}_count{{job="galaxy-backend", http_response_status_code="{code}"}}': f"0+{grows}x20"
         for code, grows in (("200", 90), ("503", 10))},
        JOB, "More than 2 % of the requests to galaxy-backend are answered with 5xx.",
        {f'{REQUESTS}_count{{job="galaxy-backend", http_response_status_code="{code}"}}': f"0+{grows}x20"
         for code, grows in (("200", 90), ("404", 10), ("503", 1))},
    ),
    "GalaxyRequestsSlow": Played(
        20,
        {f'{REQUESTS}_bucket{{job="galaxy-backend", http_route="/api/v1/user/games", le="{le}"}}': f"0+{grows}x30"
         for le, grows in (("2.5", 1), ("5", 10), ("+Inf", 10))},
        JOB, "One in a hundred requests to galaxy-backend takes longer than 2.5 s.",
        {f'{REQUESTS}_bucket{{job="galaxy-backend", http_route="/api/v1/user/events", le="{le}"}}': f"0+{grows}x30"
         for le, grows in (("2.5", 1), ("5", 10), ("+Inf", 10))},
    ),
    "GalaxyEventLoopLate": Played(
        20,
        {f'galaxy_event_loop_delay_seconds_bucket{{instance="b1", le="{le}"}}': f"0+{grows}x30"
         for le, grows in (("0.25", 1), ("1", 100), ("+Inf", 100))},
        B1, "The event loop of b1 comes late to its work: it has too little CPU, or code blocks it.",
        {f'galaxy_event_loop_delay_seconds_bucket{{instance="b1", le="{le}"}}': "0+100x30" for le in ("0.25", "+Inf")},
    ),
    "GalaxyMetricsMissing": Played(
        8, {"mail_queued": "0x10"}, {},
        "No backend measures its queues: metrics_unread in the logs says why. Leave out what is not installed.",
        {"mail_queued": "0x10", "runtime_turns_due": "0x10"},
    ),
    "GalaxyPoolExhausted": Played(
        labels=B1,
        summary="Tasks of b1 wait for connections to Postgres: see BACKEND_POSTGRES_POOL_SIZE, and slow statements.",
        **_counted('galaxy_postgres_connections_waiting{instance="b1"}', "3", "0"),
    ),
    "GalaxyFeedLate": Played(
        labels=B1, summary="b1 has not read the change feed: it serves what was true before.",
        **_counted('galaxy_feed_lag_seconds{instance="b1"}', "6", "5"),
    ),
    "GalaxyWorkerFails": Played(
        labels={"worker": "mail.deliver"}, summary="Passes of mail.deliver fail: worker_failed in the logs.",
        **_counted('galaxy_worker_passes_total{worker="mail.deliver", outcome="failed"}', "0+1", "7"),
    ),
    "GalaxyFactsWait": Played(
        labels={"listener": "mail"},
        summary="Facts for mail are not handled: it fails on them, or is not installed any more.",
        **_counted('galaxy_facts_oldest_age_seconds{listener="mail"}', "601", "600"),
    ),
    "GalaxyRelayDown": Played(
        10, {'mail_relay_up{instance="b1"}': "0x20"}, {}, "No backend can send mail: nobody can sign in.",
        {'mail_relay_up{instance="b1"}': "0x20", 'mail_relay_up{instance="b2"}': "1x20"},
    ),
    "GalaxyMailLate": Played(
        labels={}, summary="Mails have been due for more than two minutes.",
        **_counted("mail_overdue_seconds", "121", "120"),
    ),
    "GalaxyMailsOld": Played(
        labels={}, summary="A mail has been tried for half a day.",
        **_counted("mail_oldest_age_seconds", "43201", "43200"),
    ),
    "GalaxyMailsDead": Played(
        labels={}, summary="More than ten mails became dead letters within an hour.",
        **_counted("mail_dead_letters", "0+1", "500", 80),
    ),
    "GalaxyNotificationsLate": Played(
        labels={}, summary="Notifications have been due for more than five minutes.",
        **_counted("notification_overdue_seconds", "301", "300"),
    ),
    "GalaxyNotificationsDead": Played(
        labels={}, summary="More than ten notifications became dead letters within an hour.",
        **_counted("notification_dead_letters", "0+1", "500", 80),
    ),
    "GalaxyTurnsLate": Played(
        labels={}, summary="Turns have been due for more than a minute.", **_counted("runtime_turns_late", "1", "0")
    ),
    "GalaxyTurnsFail": Played(
        40, {'runtime_turn_attempts_total{outcome="engine_timeout"}': "0+1x60"}, {"outcome": "engine_timeout"},
        "Attempts at turns fail with engine_timeout: after a few the game is paused.",
        {'runtime_turn_attempts_total{outcome="committed"}': "0+1x60"},
    ),
    "GalaxyEnginesCrash": Played(
        labels={"reason": "oom_killed"}, summary="Engines end that should run: oom_killed.",
        **_counted('runtime_engine_crashes_total{reason="oom_killed"}', "0+1", "9", 40),
    ),
    "GalaxyOperationsFail": Played(
        70, {'runtime_operations_total{operation="start", outcome="failed"}': "0+1x90"}, {"operation": "start"},
        "Operations fail: start.", {'runtime_operations_total{operation="start", outcome="done"}': "0+1x90"},
    ),
    "GalaxyCodesGuessed": Played(
        labels={}, summary="Very many wrong sign-in codes: somebody guesses.",
        **_counted("auth_codes_wrong_total", "0+30", "0+10"),
    ),
    "GalaxyGatewaysCutOff": Played(
        labels={"reason": "lagging"}, summary="Gateways are cut off from live events: lagging.",
        **_counted('push_cut_off_total{reason="lagging"}', "0+1", "9"),
    ),
    "GalaxyBackendUnreachable": Played(
        labels=G1 | {"reason": "refused"}, summary="Calls of g1 to the backends fail: refused.",
        **_counted('gateway_backend_failures_total{instance="g1", reason="refused"}', "0+60", "0+12"),
    ),
    "GalaxyStoreAway": Played(
        10, {'gateway_limits_unavailable_total{instance="g1", outcome="refused"}': "0+1x20"}, G1,
        "g1 refuses changes, since Redis is away.",
        {'gateway_limits_unavailable_total{instance="g1", outcome="local"}': "0+1x20"},
    ),
    "GalaxyStreamsRefused": Played(
        20, {'gateway_streams_refused_total{instance="g1", reason="total"}': "0+2x30"}, G1 | {"reason": "total"},
        "g1 refuses streams: total.", {'gateway_streams_refused_total{instance="g1", reason="account"}': "0+2x30"},
    ),
}  # fmt: skip


def scenarios(name: str) -> list[dict[str, Any]]:
    """Return promtool's tests of a rule: it fires with what a reader of the alert sees, and then it does not."""
    played, rule = PLAYED[name], RULES[name]
    alert = {
        "exp_labels": played.labels | rule["labels"],
        "exp_annotations": {"summary": played.summary, "runbook": rule["annotations"]["runbook"]},
    }
    return [
        {
            "name": f"{name} {'fires' if expected else 'is quiet'}",
            "interval": "1m",
            "input_series": [{"series": each, "values": values} for each, values in series.items()],
            "alert_rule_test": [{"eval_time": f"{played.minute}m", "alertname": name, "exp_alerts": expected}],
        }
        for series, expected in ((played.fires, [alert]), (played.quiet, []))
    ]


def run(promtool: str, *arguments: str) -> None:
    """Run promtool, and show what it says if it is not content."""
    ended = subprocess.run([promtool, *arguments], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_every_rule_is_played() -> None:
    """A new rule needs a scenario in which it fires, and one in which it does not."""
    assert PLAYED.keys() == RULES.keys()


def test_prometheus_takes_the_rules_and_each_fires_when_it_should(promtool: str, tmp_path: Path) -> None:
    """Prometheus reads the file, and each alert reads as its summary says, or is not there."""
    run(promtool, "check", "rules", str(catalogue.ALERTS))
    played = [scenario for name in PLAYED for scenario in scenarios(name)]
    file = tmp_path / "played.yaml"
    file.write_text(json.dumps({"rule_files": [str(catalogue.ALERTS)], "evaluation_interval": "1m", "tests": played}))
    run(promtool, "test", "rules", str(file))


def test_a_rule_that_does_not_fire_is_found(promtool: str, tmp_path: Path) -> None:
    """Played with the values at which it is quiet, a rule that should fire is reported by name."""
    [fires, quiet] = scenarios("GalaxyFeedLate")
    wrong = fires | {"input_series": quiet["input_series"]}
    file = tmp_path / "played.yaml"
    file.write_text(json.dumps({"rule_files": [str(catalogue.ALERTS)], "tests": [wrong]}))
    with pytest.raises(AssertionError, match="alertname: GalaxyFeedLate"):
        run(promtool, "test", "rules", str(file))


def test_prometheus_takes_the_queries_of_the_dashboards(promtool: str, tmp_path: Path) -> None:
    """Each is PromQL, once Grafana has filled in its variables."""
    rules = [
        {"record": f"query:{number}", "expr": query.replace("$__rate_interval", "5m").replace("$instance", ".*")}
        for number, (_, query) in enumerate(dashboards.queries())
    ]
    file = tmp_path / "queries.yaml"
    file.write_text(json.dumps({"groups": [{"name": "dashboards", "rules": rules}]}))
    run(promtool, "check", "rules", "--lint=none", str(file))


def test_dashboards_ask_for_what_exists() -> None:
    """Each query names series and labels that a process exports, and each panel shows something."""
    assert list(dashboards.faults()) == []
    for name, text in dashboards.files().items():
        panels = [panel for panel in json.loads(text)["panels"] if panel["type"] != "row"]
        assert len({panel["id"] for panel in panels}) == len(panels)
        assert all(panel["targets"] and panel["title"] for panel in panels), name
        places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels]
        assert len(set(places)) == len(places), name


def test_a_dashboard_that_asks_for_what_does_not_exist_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """A metric that was renamed would leave a graph empty without a word."""
    panel = dashboards.Panel("Mails", "short", (("max(mail_queue)", "queued"),))
    monkeypatch.setattr(dashboards, "DASHBOARDS", {"backend": {"Mail": (panel,)}})
    assert list(dashboards.faults()) == [
        "tools/dashboards.py: backend: Mails: no metric makes the series mail_queue",
    ]
