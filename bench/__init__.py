"""Measures of speed, each a ratio within one run against a named rival."""
