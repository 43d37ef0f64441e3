"""Revisions of the admin plugin's branch."""
