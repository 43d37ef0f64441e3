"""Engines, time and positions of games: one engine a game, a turn as a claim, a computation and one fenced commit."""
