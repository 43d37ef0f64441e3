"""The face of the kernel that plugins see. What is not here is not theirs."""

from galaxy_kernel.attempts import Attempts
from galaxy_kernel.batches import Batches
from galaxy_kernel.caches import Cache
from galaxy_kernel.clock import Clock
from galaxy_kernel.context import Context
from galaxy_kernel.database import Connection, Database, after_commit, is_unavailable, sqlstate, unique_violation
from galaxy_kernel.facts import Facts
from galaxy_kernel.http.call import Answer, Call
from galaxy_kernel.http.fields import DisplayName, Email, Language, TimeZone
from galaxy_kernel.http.model import Model, Page, Paging, fetch_page
from galaxy_kernel.logs import email_hash
from galaxy_kernel.manifest import (
    Access,
    Companion,
    CompanionRun,
    Health,
    Manifest,
    Migrations,
    Offer,
    Probe,
    Route,
    RpcService,
    Subscriptions,
    Trial,
    Worker,
)
from galaxy_kernel.problems import FieldFault, Problem, conflict, invalid, not_found, throttled
from galaxy_kernel.pump import Halt, Pump
from galaxy_kernel.queue import Claim, LeasedQueue, Outcome, Result, history_columns, queue_columns, queue_indexes
from galaxy_kernel.settings import Duration, ListenAddress, Names, Networks, NoSettings, Settings
from galaxy_kernel.wakeups import Wakeups
from galaxy_kernel.work import new_id, request_id, working
from galaxy_migrations.conventions import plugin_metadata

__all__ = [
    "Access",
    "Answer",
    "Attempts",
    "Batches",
    "Cache",
    "Call",
    "Claim",
    "Clock",
    "Companion",
    "CompanionRun",
    "Connection",
    "Context",
    "Database",
    "DisplayName",
    "Duration",
    "Email",
    "Facts",
    "FieldFault",
    "Halt",
    "Health",
    "Language",
    "LeasedQueue",
    "ListenAddress",
    "Manifest",
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
    "Result",
    "Route",
    "RpcService",
    "Settings",
    "Subscriptions",
    "TimeZone",
    "Trial",
    "Wakeups",
    "Worker",
    "after_commit",
    "conflict",
    "email_hash",
    "fetch_page",
    "history_columns",
    "invalid",
    "is_unavailable",
    "new_id",
    "not_found",
    "plugin_metadata",
    "queue_columns",
    "queue_indexes",
    "request_id",
    "sqlstate",
    "throttled",
    "unique_violation",
    "working",
]
