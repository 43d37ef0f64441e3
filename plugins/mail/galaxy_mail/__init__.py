"""Outgoing mail: a queue in the database, the worker that empties it into a relay, the operators' view of both."""
