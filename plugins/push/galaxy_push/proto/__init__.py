"""The protocol, and the Python code that `make proto` makes from it."""
