"""Calls that a client may repeat: the answer to the first is replayed to the others (SPEC W-2)."""
