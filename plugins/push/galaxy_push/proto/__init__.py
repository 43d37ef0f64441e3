"""The protocol, and the Python code that `make proto` generates from it."""
