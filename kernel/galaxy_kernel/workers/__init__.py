"""Background work: what a worker is, and its supervision (SPEC K-6)."""
