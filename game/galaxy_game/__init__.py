"""The reference engine: a small complete game of space conquest, on the standard library alone."""
