"""Measures of speed, each within one run and, where there is one, against a named rival (SPEC §6)."""
