"""Rate limits by address, account and class of routes (SPEC W-2)."""
