"""Operations on games, each a row before anything is done (SPEC R-2)."""
