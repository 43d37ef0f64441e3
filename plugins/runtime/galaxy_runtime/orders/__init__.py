"""Orders of seats, and questions that are put to engines for them (SPEC R-9)."""
