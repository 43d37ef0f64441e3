"""Countries of players, from a GeoIP database."""
