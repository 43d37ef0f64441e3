"""Turns: a claim, a pure computation and one fenced commit (SPEC R-7, R-8)."""
