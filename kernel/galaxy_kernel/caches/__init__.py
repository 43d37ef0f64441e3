"""Full-table caches, kept in step by a gap-free change feed (SPEC K-5)."""
