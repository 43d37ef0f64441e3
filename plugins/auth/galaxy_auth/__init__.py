"""Sign-in by a code sent by e-mail, and the device sessions that follow from it (SPEC A-1 to A-6)."""
