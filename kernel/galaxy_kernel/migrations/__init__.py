"""The kernel's branch of the schema."""
