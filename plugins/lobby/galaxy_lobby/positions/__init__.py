"""What a position, or the lack of one, does to a game: called by the runtime inside its transaction."""
