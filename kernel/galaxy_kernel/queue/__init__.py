"""The leased work queue in a table, and the two ways of working it off."""
