"""The leased work queue in a table, and the two ways of processing it."""
