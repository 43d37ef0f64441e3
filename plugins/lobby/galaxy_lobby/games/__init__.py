"""Creating games, changing drafts, and what people see of games."""
