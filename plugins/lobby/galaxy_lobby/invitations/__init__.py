"""Invitations by account or address."""
