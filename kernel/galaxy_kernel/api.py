"""The kernel's interface for plugins, which import nothing else of it."""

from galaxy_chassis.backoff import Backoff
from galaxy_chassis.clock import Clock
from galaxy_chassis.config.settings import Duration, ListenAddress, Names, Networks, NoSettings, Settings, TypeName
from galaxy_chassis.doctor import DoctorCheck, Finding
from galaxy_chassis.health import Health, Probe
from galaxy_chassis.http.problems import FieldError, Problem, conflict, invalid, not_found, throttled
from galaxy_chassis.logs import email_hash
from galaxy_chassis.request_context import new_id, request_context, request_id
from galaxy_chassis.telemetry.instruments import Counter, Gauge, Histogram, Reading
from galaxy_chassis.uuids import uuid_array
from galaxy_kernel.caches.registry import Cache
from galaxy_kernel.core.companions import Companion, CompanionRun, DevExample
from galaxy_kernel.core.context import Context
from galaxy_kernel.core.manifest import Manifest, Migrations, Offer
from galaxy_kernel.database import (
    Connection,
    Database,
    after_commit,
    is_unavailable,
    prepared,
    sqlstate,
    unique_violation,
)
from galaxy_kernel.database.locks import SupersededError, Term, advisory_lock, shared_lock_sql
from galaxy_kernel.facts import Facts, Subscriptions
from galaxy_kernel.http.call import Call, Html, RawJson, Response
from galaxy_kernel.http.faults import field_errors, invalid_request
from galaxy_kernel.http.fields import Described, DisplayName, Email, Language, Timestamp, TimeZone
from galaxy_kernel.http.model import Model, Page, Paging, fetch_page
from galaxy_kernel.http.route import Access, Route
from galaxy_kernel.keyed_locks import KeyedLocks
from galaxy_kernel.passes import found_work
from galaxy_kernel.queue.batches import Batches
from galaxy_kernel.queue.leases import LeaseKeeper, LeaseLostError
from galaxy_kernel.queue.metrics import QueueMetrics, declare_queue
from galaxy_kernel.queue.pump import Halt, Pump
from galaxy_kernel.queue.queue import (
    Claim,
    LeasedQueue,
    LeaseKey,
    Outcome,
    Result,
    history_columns,
    queue_columns,
    queue_indexes,
)
from galaxy_kernel.queue.states import QueueStates
from galaxy_kernel.rpc.service import RpcService
from galaxy_kernel.wakeups import Wakeups
from galaxy_kernel.workers.measurements import Measurements
from galaxy_kernel.workers.worker import Worker
from galaxy_migrations.conventions import plugin_metadata

__all__ = [
    "Access",
    "Backoff",
    "Batches",
    "Cache",
    "Call",
    "Claim",
    "Clock",
    "Companion",
    "CompanionRun",
    "Connection",
    "Context",
    "Counter",
    "Database",
    "Described",
    "DevExample",
    "DisplayName",
    "DoctorCheck",
    "Duration",
    "Email",
    "Facts",
    "FieldError",
    "Finding",
    "Gauge",
    "Halt",
    "Health",
    "Histogram",
    "Html",
    "KeyedLocks",
    "Language",
    "LeaseKeeper",
    "LeaseKey",
    "LeaseLostError",
    "LeasedQueue",
    "ListenAddress",
    "Manifest",
    "Measurements",
    "Migrations",
    "Model",
    "Names",
    "Networks",
    "NoSettings",
    "Offer",
    "Outcome",
    "Page",
    "Paging",
    "Probe",
    "Problem",
    "Pump",
    "QueueMetrics",
    "QueueStates",
    "RawJson",
    "Reading",
    "Response",
    "Result",
    "Route",
    "RpcService",
    "Settings",
    "Subscriptions",
    "SupersededError",
    "Term",
    "TimeZone",
    "Timestamp",
    "TypeName",
    "Wakeups",
    "Worker",
    "advisory_lock",
    "after_commit",
    "conflict",
    "declare_queue",
    "email_hash",
    "fetch_page",
    "field_errors",
    "found_work",
    "history_columns",
    "invalid",
    "invalid_request",
    "is_unavailable",
    "new_id",
    "not_found",
    "plugin_metadata",
    "prepared",
    "queue_columns",
    "queue_indexes",
    "request_context",
    "request_id",
    "shared_lock_sql",
    "sqlstate",
    "throttled",
    "unique_violation",
    "uuid_array",
]
