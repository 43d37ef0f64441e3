"""The methods that clients may use (RFC 9110, 9.2.1)."""

UNSAFE = frozenset(("POST", "PUT", "PATCH", "DELETE"))
"""Those that may change something."""
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
