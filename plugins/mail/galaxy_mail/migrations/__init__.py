"""The mail plugin's branch of the schema."""
