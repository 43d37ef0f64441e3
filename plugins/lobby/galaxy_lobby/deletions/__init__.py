"""What becomes of the games of a deleted account."""
