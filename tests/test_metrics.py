"""Every metric is declared once, documented and exported, and the alert rules name series that exist."""

import ast
import asyncio
import urllib.request
from collections import defaultdict
from pathlib import Path
from typing import Any

import catalogue
import pytest
from full_backend import ALL, CONFIRM, SEND, Mailbox, post, sign_in
from prometheus_client.parser import text_string_to_metric_families

from galaxy_devkit.testing import Boot, Booted

ROOT = Path(__file__).resolve().parents[1]
DECLARING = {"Counter", "Gauge", "Histogram", "declare_queue"}
INSTRUMENTS = {"counter", "gauge", "histogram", "up_down_counter"}
MAKING = {f"create_{kind}" for kind in INSTRUMENTS} | {f"create_observable_{kind}" for kind in INSTRUMENTS}
BY_DECLARATION = ROOT / "chassis/galaxy_chassis/telemetry/instruments.py"
HELPERS = {ROOT / "kernel/galaxy_kernel/queue/metrics.py"}
SERIES = {name: set(each.labels) for each in catalogue.catalogue() for name in each.series}
NOT_OURS = {"target_info"}


def sources() -> list[Path]:
    members = [ROOT / "chassis", ROOT / "kernel", ROOT / "gateway", *sorted((ROOT / "plugins").iterdir())]
    return [path for member in members for path in sorted(member.glob("galaxy_*/**/*.py"))]


def calls(path: Path) -> list[str]:
    """Return the names of the functions that a file calls, as far as they are ours: those it imports from us."""
    tree = ast.parse(path.read_text("utf-8"))
    ours = {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("galaxy_")
        for alias in node.names
    }
    called = [node.func for node in ast.walk(tree) if isinstance(node, ast.Call)]
    names = [each.id for each in called if isinstance(each, ast.Name) and each.id in ours]
    return names + [each.attr for each in called if isinstance(each, ast.Attribute) and each.attr in MAKING]


def test_metrics_are_declared_in_files_of_that_name_alone() -> None:
    """Else the runbook's table and the alert rules would not know them."""
    wrong = {
        str(path.relative_to(ROOT)): found
        for path in sources()
        if path != BY_DECLARATION
        and (found := (MAKING if path.name == "metrics.py" else MAKING | DECLARING).intersection(calls(path)))
    }
    assert wrong == {}
    declared = {path for path in sources() if path.name == "metrics.py"} - HELPERS
    assert {path for path in declared if not DECLARING.intersection(calls(path))} == set()


def test_every_metric_says_what_it_means() -> None:
    """A description is a sentence; names, and labels in Prometheus, are in one style."""
    for each in catalogue.catalogue():
        assert each.metric.description.endswith("."), each.metric.name
        assert all(part.replace("_", "").isalpha() for part in each.metric.name.split(".")), each.metric.name
        assert len(set(each.labels)) == len(each.labels), each.metric.name
        assert each.series, each.metric.name


def test_the_runbook_has_every_metric() -> None:
    """Its table is the catalogue."""
    text = (ROOT / "docs/runbook.md").read_text("utf-8")
    assert f"<!-- metrics -->\n{catalogue.table()}<!-- /metrics -->" in text
    for each in catalogue.catalogue():
        assert f"| `{each.metric.name}` (" in text


def test_alert_rules_name_what_exists() -> None:
    """Each has an expression over series and labels that are there, a severity, and a section of the runbook."""
    assert list(catalogue.faults_of_alerts()) == []


@pytest.mark.parametrize(
    ("expression", "fault"),
    [
        ("max(mail_queue) > 1", "no metric makes the series mail_queue"),
        ('mail_attempts_total{result="sent"} > 1', "mail_attempts_total has no label result"),
        ('mail_queued{kind=~"a|b", job="x"} > 1', "mail_queued has no label kind"),
        ("sum by (worker) (rate(mail_attempts_total[5m])) > 1", "none of its series has the label worker"),
        ("runtime_turn_duration_seconds > 1", "no metric makes the series runtime_turn_duration_seconds"),
        ("sum(rate(mail_attempts_total[5m]) > 1", "its parentheses do not match"),
        ("mail_queued > 1 and on (instance) mail_old > 1", "no metric makes the series mail_old"),
    ],
)
def test_an_alert_on_what_does_not_exist_is_found(expression: str, fault: str) -> None:
    """A name that is wrong, or was changed, would make a rule that never fires."""
    known = {name: frozenset(labels) for name, labels in SERIES.items()}
    assert list(catalogue.faults_of_expression(expression, known)) == [fault]


@pytest.mark.parametrize(
    "expression",
    [
        "max(mail_overdue_seconds) > 120",
        'sum by (worker) (increase(galaxy_worker_passes_total{outcome="failed"}[10m])) > 5',
        "histogram_quantile(0.99, sum by (instance, le) (rate(galaxy_event_loop_delay_seconds_bucket[5m]))) > 0.25",
        "absent(mail_queued) or absent(runtime_turns_due)",
    ],
)
def test_an_alert_on_what_exists_is_fine(expression: str) -> None:
    """Functions, numbers, durations and words of the language are not taken for series."""
    known = {name: frozenset(labels) for name, labels in SERIES.items()}
    assert list(catalogue.faults_of_expression(expression, known)) == []


@pytest.mark.parametrize(
    ("changed", "fault"),
    [
        ({"severity": "loud"}, "A: needs the label severity, page or ticket"),
        ({"runbook": "runbook.md#nowhere"}, "A: docs/runbook.md has no section 'runbook.md#nowhere'"),
        ({"for": "soon"}, "A: 'soon' is not a duration"),
        ({"twice": True}, "A: there is another alert of this name"),
    ],
)
def test_an_alert_that_lacks_a_part_is_found(changed: dict[str, Any], fault: str) -> None:
    """Whoever is woken up needs to know how bad it is, and where to read on."""
    values = {"severity": "page", "runbook": "runbook.md#mail", "for": "5m"} | changed
    rule = (
        f"{{alert: A, expr: mail_queued > 1, for: {values['for']}, labels: {{severity: {values['severity']}}},"
        f" annotations: {{summary: s, runbook: '{values['runbook']}'}}}}"
    )
    rules = ", ".join([rule] * (2 if "twice" in changed else 1))
    assert list(catalogue.faults_of_alerts(f"groups: [{{name: g, rules: [{rules}]}}]")) == [fault]


async def scrape(booted: Booted) -> dict[str, dict[tuple[tuple[str, str], ...], float]]:
    """Return what Prometheus would read: values by series and labels."""
    address = booted.kernel.assembly.telemetry.prometheus_address

    def read() -> str:
        with urllib.request.urlopen(f"http://{address}/metrics", timeout=10) as answer:
            return str(answer.read().decode())

    found: dict[str, dict[tuple[tuple[str, str], ...], float]] = defaultdict(dict)
    for family in text_string_to_metric_families(await asyncio.to_thread(read)):
        for sample in family.samples:
            labels = {name: value for name, value in sample.labels.items() if not name.startswith("otel_scope_")}
            found[sample.name][tuple(sorted(labels.items()))] = sample.value
    return found


async def test_what_a_backend_exports_is_what_is_declared(
    boot: Boot, mailbox: Mailbox, mail_environment: dict[str, str]
) -> None:
    """After a sign-in every series and every label is a declared one, and the gauges of the database are there."""
    prometheus = {
        "BACKEND_OTEL_METRICS_EXPORTER": "prometheus",
        "BACKEND_OTEL_PROMETHEUS_LISTEN_ADDR": "127.0.0.1:0",
    }
    async with boot(*ALL, environment=mail_environment | prometheus) as booted:
        _, challenge = await post(booted, SEND, {"email": "eve@example.test"})
        await post(booted, CONFIRM, {"challenge_id": challenge["challenge_id"], "code": "0" * 8})
        await sign_in(booted, mailbox, "ada@example.test")
        await booted.kernel.probes.report()
        measured = {"mail_queued", "notification_queued", "runtime_turns_due", "galaxy_facts_waiting"}
        async with asyncio.timeout(20):
            while not measured <= (found := await scrape(booted)).keys() or "mail_attempts_total" not in found:
                await asyncio.sleep(0.05)
    assert found.keys() - SERIES.keys() - NOT_OURS == set()
    for name, series in found.items():
        for labels in series if name not in NOT_OURS else ():
            names = {label for label, _ in labels} - {"le"}
            optional = {"error_type"} if name.startswith("http_") else set()
            assert SERIES[name] - optional <= names <= SERIES[name], name
    missing = {name for name in SERIES if not name.startswith(("gateway", *RARE))} - found.keys()
    assert missing == set()
    assert found["auth_sign_ins_total"] == {(("account", "new"),): 1}
    assert found["auth_codes_sent_total"] == {(): 2}
    assert found["auth_codes_wrong_total"] == {(): 1}
    assert found["mail_relay_up"] == {(): 1}
    assert found["mail_dead_letters"] == found["mail_overdue_seconds"] == {(): 0}
    assert set(found["galaxy_check_state"].values()) <= {0, 1}
    assert found["galaxy_postgres_connections_limit"][()] >= found["galaxy_postgres_connections_used"][()]
    assert found["galaxy_cache_rows"][(("cache", "user"),)] == 1
    passes = found["galaxy_worker_passes_total"]
    assert passes[(("outcome", "worked"), ("worker", "mail.deliver"))] >= 1
    assert passes[(("outcome", "failed"), ("worker", "mail.deliver"))] == 0


RARE = (
    "auth_codes_refused",
    "engineversion_checks",
    "galaxy_http_connections_ended",
    "geo_requests",
    "notification_attempts",
    "push_cut_off",
    "push_replays",
    "runtime_engine_",
    "runtime_operation",
    "runtime_turn_",
    "runtime_turns_running",
)
"""Counted where it happens, which it does not in a sign-in: the tests of its plugin assert it."""
