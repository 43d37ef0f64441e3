"""Links in mails by which players mute a kind without signing in (SPEC N-8)."""
