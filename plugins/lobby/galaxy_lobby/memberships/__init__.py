"""Who sits at a game: joining, leaving, resigning, removal, and seats for machines."""
