"""The engines of games: started, found, replaced and removed (SPEC R-5, R-11)."""
