"""The kernel's own checks for `backend doctor`, by what they look at. None of them changes anything."""
