"""For development and tests: an embedded Postgres, `backend dev`, pytest fixtures. Never part of production."""
