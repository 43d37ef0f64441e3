"""Public games as everybody sees them, without signing in (SPEC V-5)."""
