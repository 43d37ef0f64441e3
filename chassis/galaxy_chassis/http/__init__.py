"""HTTP: the listener, what it answers with, and where a request comes from."""
