"""The whole product in containers, for scenarios: one isolated stack each."""
