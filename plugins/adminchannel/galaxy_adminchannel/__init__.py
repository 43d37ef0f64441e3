"""Notifications to operators by e-mail, with a switch."""
