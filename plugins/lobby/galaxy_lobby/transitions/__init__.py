"""What owners and operators do with a game: open, start, pause, resume, extend, force, cancel."""
