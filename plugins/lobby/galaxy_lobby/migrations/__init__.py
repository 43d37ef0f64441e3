"""The plugin's branch of the schema."""
