"""The records of games: their locks, clocks and ends."""
