"""Configuration: settings groups and their types, and loading them from environment variables."""
