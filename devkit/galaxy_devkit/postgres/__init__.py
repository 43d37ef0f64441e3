"""A supervised private Postgres from the binaries of a wheel."""
