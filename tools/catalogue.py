"""The catalogue of all metrics, from the declarations in the files `metrics.py`; and the alert rules, held against it.

A metric's names in Prometheus are not computed here: each is exported once by the real exporter.
"""

import ast
import re
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.sdk.metrics import MeterProvider
from prometheus_client import CollectorRegistry

from galaxy_chassis.telemetry.instruments import Counter, Histogram, Metric

ROOT = Path(__file__).resolve().parents[1]
ALERTS = ROOT / "docs/alerts.yaml"
RUNBOOK = ROOT / "docs/runbook.md"

PROMETHEUS_OWN = {"up": frozenset({"job", "instance"})}
"""Metrics that Prometheus makes itself."""
SCRAPE_LABELS = frozenset({"job", "instance", "le"})
"""Labels that every series has, or that every bucket has."""

_FIRST, _LAST = {"chassis": "every process", "kernel": "kernel"}, {"gateway": "gateway"}
"""What stands before the plugins in the table, and after them: folders, and what they are called there."""
_WORDS = {"by", "without", "on", "ignoring", "group_left", "group_right", "and", "or", "unless", "bool", "offset"}
_LABELS = re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)")
_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_DURATION = re.compile(r"^(?:\d+(?:ms|[smhdwy]))+$")


class Declared(NamedTuple):
    """A metric, and who declares it."""

    owner: str
    metric: Metric
    series: tuple[str, ...]
    """The names of its series in Prometheus."""

    @property
    def labels(self) -> tuple[str, ...]:
        """Its labels as Prometheus has them."""
        return tuple(label.replace(".", "_") for label in self.metric.labels)


@cache
def catalogue() -> tuple[Declared, ...]:
    """Return every metric that is declared, in the order of its files. Exit where two have one name."""
    found: dict[str, Declared] = {}
    for path in metrics_files():
        owner = _owner(path)
        for metric in _declared_in(path):
            if metric.name in found:
                raise SystemExit(f"{path.relative_to(ROOT)}: {metric.name} is declared twice")
            found[metric.name] = Declared(owner, metric, _series(metric))
    return tuple(found.values())


def metrics_files() -> list[Path]:
    """Return the files that declare metrics."""
    plugins = sorted((ROOT / "plugins").iterdir())
    members = [*(ROOT / name for name in _FIRST), *plugins, *(ROOT / name for name in _LAST)]
    return [path for member in members for path in sorted(member.glob("galaxy_*/**/metrics.py"))]


def table() -> str:
    """Return the catalogue as a table for the runbook."""
    rows = ["| metric | in Prometheus | kind | labels | meaning |", "|---|---|---|---|---|"]
    for owner, metric, series in catalogue():
        name = series[0] if len(series) == 1 else series[0].removesuffix("_bucket") + "_bucket, _count, _sum"
        labels = ", ".join(f"`{label.replace('.', '_')}`" for label in metric.labels)
        kind = type(metric).__name__.lower()
        rows.append(f"| `{metric.name}` ({owner}) | `{name}` | {kind} | {labels} | {metric.description} |")
    return "\n".join(rows) + "\n"


def faults_of_alerts(text: str | None = None) -> Iterator[str]:
    """Yield what is wrong with the alert rules: series and labels that do not exist, and parts that are missing."""
    known = {name: frozenset(each.labels) for each in catalogue() for name in each.series}
    known |= PROMETHEUS_OWN
    seen: set[str] = set()
    for rule in _rules(ALERTS.read_text("utf-8") if text is None else text):
        name = str(rule.get("alert", "?"))
        if name in seen:
            yield f"{name}: there is another alert of this name"
        seen.add(name)
        annotations, labels = rule.get("annotations", {}), rule.get("labels", {})
        if not {"expr", "for"} <= rule.keys() or {"summary", "runbook"} - annotations.keys():
            yield f"{name}: needs expr, for, and the annotations summary and runbook"
        if labels.get("severity") not in ("page", "ticket"):
            yield f"{name}: needs the label severity, page or ticket"
        if annotations.get("runbook") not in _sections():
            yield f"{name}: docs/runbook.md has no section {annotations.get('runbook')!r}"
        if not _DURATION.match(str(rule.get("for", ""))):
            yield f"{name}: {rule.get('for')!r} is not a duration"
        yield from (f"{name}: {fault}" for fault in faults_of_expression(str(rule.get("expr", "")), known))


def faults_of_expression(expression: str, known: dict[str, frozenset[str]]) -> Iterator[str]:
    """Yield series and labels of a PromQL expression that do not exist."""
    if expression.count("(") != expression.count(")"):
        yield "its parentheses do not match"
    grouping = {label.strip() for group in _LABELS.findall(expression) for label in group.split(",") if label.strip()}
    bare = _LABELS.sub(" ", expression)
    used: set[str] = set()
    for match in _NAME.finditer(re.sub(r"\{[^}]*\}|\[[^\]]*\]|\"[^\"]*\"", lambda each: " " * len(each[0]), bare)):
        name, rest = match[0], bare[match.end() :].lstrip()
        if name in _WORDS or rest.startswith("(") or bare[match.start() - 1 : match.start()].isdigit():
            continue
        if name not in known:
            yield f"no metric makes the series {name}"
            continue
        used |= known[name] | SCRAPE_LABELS
        matchers = re.findall(
            r"([a-zA-Z_]\w*)\s*(?:=~|!~|!=|=)", rest[: rest.find("}")] if rest.startswith("{") else ""
        )
        yield from (f"{name} has no label {label}" for label in matchers if label not in known[name] | SCRAPE_LABELS)
    yield from (f"none of its series has the label {label}" for label in sorted(grouping - used))


def _rules(text: str) -> list[dict[str, Any]]:
    return [rule for group in yaml.safe_load(text)["groups"] for rule in group["rules"]]


@cache
def _sections() -> frozenset[str]:
    """Return the runbook's sections, as links name them."""
    heads = re.findall(r"(?m)^##+ (.+)$", RUNBOOK.read_text("utf-8"))
    return frozenset("runbook.md#" + re.sub(r"[^\w -]", "", head.lower()).replace(" ", "-") for head in heads)


def _owner(path: Path) -> str:
    member = path.relative_to(ROOT).parts
    return member[1] if member[0] == "plugins" else (_FIRST | _LAST)[member[0]]


def _declared_in(path: Path) -> list[Metric]:
    """Return the metrics that a module holds by name; those in the tuple of a queue too."""
    package = next(parent for parent in path.parents if not (parent / "__init__.py").exists())
    module = import_module(".".join(path.relative_to(package).with_suffix("").parts))
    own = {
        target.id
        for node in ast.parse(path.read_text("utf-8")).body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    found: dict[str, Metric] = {}
    for name, value in vars(module).items():
        if name in own:
            found |= {
                each.name: each
                for each in (value if isinstance(value, tuple) else (value,))
                if isinstance(each, Metric)
            }
    return list(found.values())


def _series(metric: Metric) -> tuple[str, ...]:
    """Return the names under which Prometheus gets a metric."""
    registry = CollectorRegistry()
    meter = MeterProvider([PrometheusMetricReader(registry=registry)], shutdown_on_exit=False).get_meter("catalogue")
    labels = dict.fromkeys(metric.labels, "x")
    if isinstance(metric, Counter):
        metric.on(meter).add(1, labels)
    elif isinstance(metric, Histogram):
        metric.on(meter).record(1, labels)
    else:
        metric.observe(meter, lambda: {tuple(labels.values()): 1})  # type: ignore[attr-defined]  # a gauge
    names = [sample.name for family in registry.collect() for sample in family.samples if family.name != "target"]
    return tuple(dict.fromkeys(names))
