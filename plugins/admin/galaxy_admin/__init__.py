"""Operators: their accounts, how they prove who they are, and the log of what they did."""
