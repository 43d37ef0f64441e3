"""Notifications to players and operators."""
