"""Orders, options and reports of a seat: who asks is settled here, the rest is the runtime's."""
