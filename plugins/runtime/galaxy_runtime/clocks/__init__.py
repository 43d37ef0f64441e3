"""The database's clock as all games go by it: leaps, downtime, changed time zones, and reminders (SPEC R-12)."""
