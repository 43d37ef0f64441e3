"""The registry of engine images: versions of engines, their states, and what the conformance kit found (SPEC E)."""
