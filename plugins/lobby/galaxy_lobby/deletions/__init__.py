"""What happens to the games of a deleted account."""
