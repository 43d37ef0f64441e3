"""Says why Postgres refuses us, and what to do about it. The drivers name the reason in many ways."""

import re
from collections.abc import Iterator

from galaxy_kernel.database.errors import is_unavailable, reason, sqlstate

_DSN = "BACKEND_POSTGRES_DSN"
_BY_CODE = {
    "28P01": "password",
    "28000": "login",
    "3D000": "database",
    "53300": "connections",
    "42501": "privilege",
    "25006": "read-only",
    "57P03": "starting",
    "53100": "disk",
}
"""PostgreSQL's codes (appendix A of its manual)."""
_BY_WORDS = (
    ("password authentication failed|no password supplied|authentication failed", "password"),
    ("no pg_hba.conf entry|is not permitted to log in|role .* does not exist", "login"),
    ("database .* does not exist", "database"),
    ("too many clients|too many connections|remaining connection slots", "connections"),
    ("permission denied for database", "privilege"),
    ("starting up|shutting down|in recovery mode|not yet accepting", "starting"),
    ("SSL|certificate|TLS", "tls"),
    (
        "not known|could not translate host name|failed to resolve|No address associated|Temporary failure in name",
        "host",
    ),
    ("refused|Connect call failed|No such file or directory", "port"),
    ("no answer from|timeout expired|timed out|unreachable|No route", "network"),
    ("not in read-write|read-write|session is read-only|server is in hot standby", "read-only"),
)
"""What libpq and the drivers say where they have no code, in English: the server's own words follow `lc_messages`."""
_REMEDIES = {
    "password": f"the user name or the password in {_DSN} is wrong",
    "login": f"this user may not log in from here: check the user name in {_DSN}, and the server's pg_hba.conf",
    "database": f"create it with CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0, or name another in {_DSN}",
    "connections": "raise max_connections of the server, or lower BACKEND_POSTGRES_POOL_SIZE",
    "privilege": f"grant the role what it lacks, or name the tables' owner in {_DSN}",
    "read-only": f"name the primary server in {_DSN}, and look at default_transaction_read_only of database and role",
    "starting": "wait until the server accepts connections",
    "disk": "free space on the server's disk",
    "tls": f"server and {_DSN} must agree on TLS: check sslmode and sslrootcert there, and ssl of the server",
    "host": f"the name of the host in {_DSN} does not resolve: check it, and this machine's DNS",
    "port": f"nothing listens there: does Postgres run, and are host and port in {_DSN} right?",
    "network": f"is the host in {_DSN} right, does it run, and is a firewall in between?",
}
_OTHERWISE = f"is Postgres running, and is {_DSN} right?"


def diagnose(error: BaseException) -> str | None:
    """Return why the database refuses us and what to do; None for an error that is not about that."""
    found = _BY_CODE.get(sqlstate(error) or "") or next(_by_words(error), None)
    if found is None:
        return f"{_OTHERWISE} ({reason(error)})" if is_unavailable(error) else None
    return f"{_REMEDIES[found]} ({reason(error)})"


def _by_words(error: BaseException) -> Iterator[str]:
    """Yield what the words of an error without a code mean: a server that answered has given one."""
    code = sqlstate(error)
    if is_unavailable(error) and (code is None or code.startswith("08")):
        words = reason(error)
        yield from (found for pattern, found in _BY_WORDS if re.search(pattern, words))
