"""Outgoing mail: a queue in the database, the worker that sends it through a relay, the operators' view of both."""
