"""Forwarding: which requests pass, with which headers, and the connections to the backends."""
